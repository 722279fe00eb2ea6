"""Ten thousand twins share a write budget: within the rate, oldest first, never too far apart."""

from __future__ import annotations

import heapq
import random

import pytest

from twinops.core.status.write_budget import WriteBudget


class Fleet:
    """Plays the heartbeats of many twins."""

    def __init__(self, intervals: list[float], *, per_second: float = 50.0, seed: int = 7) -> None:
        rng = random.Random(seed)  # noqa: S311 - a seeded draw, no secret
        self.budget = WriteBudget(per_second, 300.0, 0.0)
        self.queue = [(rng.uniform(0, interval), number) for number, interval in enumerate(intervals)]
        heapq.heapify(self.queue)
        self.intervals = intervals
        self.last: dict[int, float] = {}
        self.longest: dict[int, float] = {}
        self.writes: list[float] = []
        self.syncs = 0

    def run(self, until: float, *, material: float = 0.0, measure_from: float = 0.0) -> None:
        rng = random.Random(11)  # noqa: S311 - a seeded draw, no secret
        while self.queue[0][0] < until:
            now, number = heapq.heappop(self.queue)
            interval = self.intervals[number]
            heapq.heappush(self.queue, (now + interval, number))
            measured = now >= measure_from
            self.syncs += measured
            urgent = rng.random() < material
            age = now - self.last.get(number, float("-inf"))
            if urgent:
                self.budget.spend(now)
            if urgent or self.budget.allows(now, age=age, interval=interval):
                if measured:
                    self.writes.append(now)
                    self.longest[number] = max(self.longest.get(number, 0.0), now - self.last.get(number, now))
                self.last[number] = now

    def rate(self, seconds: float) -> float:
        return len(self.writes) / seconds


def test_two_thousand_twins_at_a_minute_are_written_at_every_sync() -> None:
    fleet = Fleet([60.0] * 2000)
    fleet.run(600)
    assert len(fleet.writes) == fleet.syncs


@pytest.mark.parametrize("material", [pytest.param(0.0, id="calm"), pytest.param(0.1, id="every tenth sync is news")])
def test_ten_thousand_twins_stay_within_the_budget_and_none_waits_too_long(material: float) -> None:
    fleet = Fleet([60.0] * 10_000)
    fleet.run(1800, material=material, measure_from=900)
    assert fleet.rate(900) <= 51
    assert len(fleet.last) == 10_000
    assert max(fleet.longest.values()) <= 300


def test_the_budget_is_used_not_wasted() -> None:
    fleet = Fleet([60.0] * 10_000)
    fleet.run(1800, measure_from=900)
    assert fleet.rate(900) >= 45


def test_the_oldest_go_first() -> None:
    fleet = Fleet([60.0] * 6000)
    fleet.run(1800, measure_from=900)
    # 6,000 twins at 50/s take turns of 120 s: nobody waits two turns while others are served twice.
    assert max(fleet.longest.values()) <= 240


@pytest.mark.parametrize("interval", [pytest.param(300.0, id="five minutes"), pytest.param(3600.0, id="an hour")])
def test_slow_twins_are_written_at_every_sync_even_when_the_budget_is_empty(interval: float) -> None:
    budget = WriteBudget(1.0, 300.0, 0.0)
    for _ in range(100):
        budget.spend(0.0)
    assert budget.allows(0.0, age=interval, interval=interval)


def test_a_storm_of_news_silences_heartbeats_only_for_a_while() -> None:
    budget = WriteBudget(10.0, 300.0, 0.0)
    for _ in range(10_000):
        budget.spend(0.0)
    assert not budget.allows(1.0, age=200, interval=60)
    assert budget.allows(11.0, age=290, interval=5)
    assert budget.allows(20.0, age=100, interval=60)


def test_a_first_write_always_passes() -> None:
    budget = WriteBudget(1.0, 300.0, 0.0)
    for _ in range(100):
        budget.spend(0.0)
    assert budget.allows(0.0, age=float("inf"), interval=60)


def test_time_that_stands_still_or_goes_back_gives_no_tokens() -> None:
    budget = WriteBudget(1.0, 300.0, 100.0)
    for _ in range(10):
        budget.spend(100.0)
    assert not budget.allows(50.0, age=100, interval=60)
