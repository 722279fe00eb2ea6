"""Slots are spread, stable and never closer than half an interval, whatever the wall clock does."""

from __future__ import annotations

import uuid

import pytest

from twinops.core.schedule import INTO_SECOND, SLACK, SyncStart, fraction, herd_delay, next_slot, sleep_seconds

NOW = 1_800_000_000.0


def uids(count: int) -> list[str]:
    return [str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in range(count)]


@pytest.mark.parametrize(
    ("now", "interval"),
    [
        pytest.param(NOW, 60, id="a minute"),
        pytest.param(NOW + 0.123456, 5, id="the shortest interval, between two seconds"),
        pytest.param(NOW, 3600, id="the longest interval"),
        pytest.param(0.0, 60, id="the epoch"),
        pytest.param(-10.0, 60, id="before the epoch"),
        pytest.param(4e9, 7, id="a far future, an odd interval"),
    ],
)
def test_next_slot_lies_within_one_interval_and_strictly_ahead(now: float, interval: float) -> None:
    for uid in uids(200):
        slot = next_slot(now, interval, uid)
        assert now < slot <= now + interval


def test_asking_at_a_slot_gives_the_one_after_it() -> None:
    for uid in uids(200):
        slot = next_slot(NOW, 60, uid)
        assert next_slot(slot, 60, uid) == pytest.approx(slot + 60, abs=1e-5)


def test_slots_are_the_same_after_a_restart() -> None:
    uid = uids(1)[0]
    slot = next_slot(NOW, 60, uid)
    assert next_slot(slot - 0.001, 60, uid) == pytest.approx(slot)
    assert (next_slot(NOW + 86_400, 60, uid) - slot) % 60 == pytest.approx(0, abs=1e-5)


def test_ten_thousand_twins_are_spread_evenly_over_a_minute() -> None:
    per_second = [0] * 60
    for uid in uids(10_000):
        per_second[int(next_slot(NOW, 60, uid) - NOW) % 60] += 1
    # 167 are expected in each second; five standard deviations of a Poisson count.
    assert max(per_second) < 167 + 5 * 13
    assert min(per_second) > 167 - 5 * 13


def test_twins_of_one_second_wake_together_and_within_it() -> None:
    slots = {next_slot(NOW, 60, uid) for uid in uids(1000)}
    assert len(slots) == 60
    for slot in slots:
        assert slot % 1 == pytest.approx(INTO_SECOND, abs=1e-5)


class Run:
    """Plays a daemon's loop against a wall clock that can be moved."""

    def __init__(self, uid: str, interval: float) -> None:
        self.uid, self.interval = uid, interval
        self.monotonic, self.shift = 1000.0, NOW - 1000.0
        self.last: SyncStart | None = None

    def tick(self, *, late: float = 0.0) -> float:
        """Sleep to the next slot; return the gap since the one before."""
        wait = sleep_seconds(self.monotonic + self.shift, self.monotonic, self.last, self.interval, self.uid)
        assert 0 < wait <= self.interval * (1 + SLACK)
        before = self.last.monotonic if self.last else self.monotonic
        self.monotonic += wait + late
        self.last = SyncStart(self.monotonic)
        return self.monotonic - before


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(0.0, id="no jump"),
        pytest.param(-3600.0, id="an hour back"),
        pytest.param(+3600.0, id="an hour ahead"),
        pytest.param(-86_400 * 365.0, id="a year back"),
        pytest.param(-0.2, id="a little back, as NTP does"),
        pytest.param(+17.3, id="some seconds ahead"),
        pytest.param(-43.1, id="most of an interval back"),
    ],
)
def test_a_clock_that_jumps_makes_neither_a_burst_nor_a_stall(jump: float) -> None:
    for uid in uids(50):
        run = Run(uid, 60)
        run.tick()
        assert run.tick() == pytest.approx(60, abs=1e-3)
        run.shift += jump
        gaps = [run.tick() for _ in range(4)]
        assert all(30 - 1e-3 <= gap <= 60 * (1 + SLACK) for gap in gaps)
        assert gaps[-1] == pytest.approx(60, abs=1e-3), "back on the grid"


def test_a_sleep_that_ends_early_does_not_tick_twice() -> None:
    run = Run(uids(1)[0], 60)
    run.tick()
    run.tick(late=-0.01)
    assert run.tick() == pytest.approx(60.01, abs=1e-3)


def test_a_sync_that_takes_longer_than_its_interval_skips_slots_without_catching_up() -> None:
    uid = uids(1)[0]
    slot = next_slot(NOW, 60, uid)
    wait = sleep_seconds(slot + 150, 1150.0, SyncStart(1000.0), 60, uid)
    assert wait == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize(
    ("before", "after"), [pytest.param(3600, 5, id="much shorter"), pytest.param(5, 3600, id="much longer")]
)
def test_a_changed_interval_counts_at_once(before: float, after: float) -> None:
    run = Run(uids(1)[0], before)
    run.tick()
    run.interval = after
    for _ in range(3):
        assert run.tick() <= after + 1e-3


@pytest.mark.parametrize(
    ("crowd", "longest"),
    [
        pytest.param(1, 0.002, id="one twin wakes at once"),
        pytest.param(500, 1.0, id="hundreds within a second"),
        pytest.param(10_000, 5.0, id="thousands within five seconds"),
    ],
)
def test_a_herd_is_spread(crowd: int, longest: float) -> None:
    delays = [herd_delay(uid, crowd) for uid in uids(200)]
    assert max(delays) <= longest
    assert max(delays) > 0.9 * longest
    assert delays == [herd_delay(uid, crowd) for uid in uids(200)]


def test_fractions_stay_below_one() -> None:
    assert all(0 <= fraction(uid) < 1 for uid in ("", "ü", *uids(100)))
