"""The fight breaker."""

from __future__ import annotations

import pytest

from support.correcting import NOW
from twinops.api.twin.corrections import Fight
from twinops.core.correction import fights


def fight_after(*moments: float, managers: str = "a") -> Fight | None:
    """Let values be put back at these times, by the managers in update."""
    found: Fight | None = None
    for place, moment in enumerate(moments):
        manager = managers[place % len(managers)]
        found = fights.current(found, now=moment, generation=1)
        found = fights.count_reversion(found, manager, now=moment, generation=1, cooldown_seconds=300).fight
    return found


@pytest.mark.parametrize(
    ("moments", "managers", "at", "paused"),
    [
        pytest.param([0], "a", 1, False, id="once"),
        pytest.param([0, 599], "a", 600, True, id="twice within ten minutes"),
        pytest.param([0, 601], "a", 602, False, id="twice, but not within ten minutes"),
        pytest.param([0, 100], "ab", 101, True, id="by two managers in update"),
        pytest.param([0, 100], "a", 100 + 899, True, id="the first back-off lasts three cooldowns"),
        pytest.param([0, 100], "a", 100 + 900, False, id="and no longer"),
        pytest.param([0, 100, 1100, 1200], "a", 1200 + 2699, True, id="the second one nine"),
        pytest.param([0, 100, 1100, 1200, 4000, 4100], "a", 4100 + 3599, True, id="the third one is cut to an hour"),
        pytest.param([0, 100, 1100, 1200, 4000, 4100], "a", 4100 + 3600, False, id="after it another try"),
        pytest.param(
            [0, 100, 1100, 1200, 4000, 4100, 7800, 7900], "a", 7900 + 10**6, True, id="after three cycles it gives up"
        ),
    ],
)
def test_stepping_back(moments: list[float], managers: str, at: float, *, paused: bool) -> None:
    found = fight_after(*(NOW + moment for moment in moments), managers=managers)
    assert fights.backing_off(fights.current(found, now=NOW + at, generation=1), NOW + at) is paused


def test_a_new_generation_starts_afresh() -> None:
    gave_up = fight_after(*(NOW + moment for moment in [0, 100, 1100, 1200, 4000, 4100, 7800, 7900]))
    assert gave_up is not None
    assert fights.given_up(gave_up)
    assert fights.current(gave_up, now=NOW + 9000, generation=2) is None


def test_an_hour_of_peace_after_the_back_off_ends_it() -> None:
    found = fight_after(NOW, NOW + 100)
    assert fights.current(found, now=NOW + 1000 + 3600, generation=1) is not None
    assert fights.current(found, now=NOW + 1000 + 3601, generation=1) is None


def test_people_hear_of_the_first_back_off_and_of_giving_up() -> None:
    found, heard = None, []
    for moment in (0, 100, 1100, 1200, 4000, 4100, 7800, 7900):
        found = fights.current(found, now=NOW + moment, generation=1)
        update = fights.count_reversion(found, "argo", now=NOW + moment, generation=1, cooldown_seconds=300)
        found = update.fight
        heard += [update.message] if update.message else []
    assert heard == [
        "the value was put back twice within ten minutes, last by argo: no corrections for 900 s",
        "the value is put back again and again, last by argo: no more corrections until the spec changes",
    ]


def test_without_a_cooldown_it_still_steps_back() -> None:
    first = fights.count_reversion(None, "a", now=NOW, generation=1, cooldown_seconds=0).fight
    second = fights.count_reversion(first, "a", now=NOW + 5, generation=1, cooldown_seconds=0).fight
    assert second.until is not None
    assert second.until.timestamp() == NOW + 5 + 180
