from __future__ import annotations

import itertools

import pytest

from demo.load.profile import Arrivals, LoadProfile, Segment

CLIMB = (Segment(seconds=10, to=40), Segment(seconds=5, to=100))


@pytest.mark.parametrize(
    ("at", "rate"),
    [
        pytest.param(0, 20, id="before it goes"),
        pytest.param(100, 20, id="at the start of the climb"),
        pytest.param(105, 30, id="midway on the first line"),
        pytest.param(110, 40, id="at the corner"),
        pytest.param(112.5, 70, id="midway on the second line"),
        pytest.param(115, 100, id="at the end"),
        pytest.param(1e6, 100, id="held for ever"),
    ],
)
def test_rate_follows_the_segments(at: float, rate: float) -> None:
    profile = LoadProfile(20)
    profile.go(100, CLIMB)
    assert profile.rate(at) == pytest.approx(rate)


def test_a_new_plan_begins_at_the_rate_of_that_moment() -> None:
    profile = LoadProfile(20)
    profile.go(0, CLIMB)
    profile.go(5, (Segment(seconds=10, to=0),))
    assert profile.rate(5) == pytest.approx(30)
    assert profile.rate(10) == pytest.approx(15)


def test_a_jump_takes_no_time() -> None:
    profile = LoadProfile(20)
    profile.go(3, (Segment(seconds=0, to=50),))
    assert profile.rate(2.9) == 20
    assert profile.rate(3.1) == 50


def times(seed: int, *, until: float) -> list[float]:
    profile = LoadProfile(20)
    profile.go(10, CLIMB)
    arrivals = Arrivals(profile, seed)
    return list(itertools.takewhile(lambda at: at < until, iter(arrivals.following, None)))


def test_arrivals_come_at_the_rate_of_the_profile() -> None:
    sent = times(1, until=40)
    assert len([at for at in sent if at < 10]) == pytest.approx(200, rel=0.05)
    assert len([at for at in sent if 25 <= at < 40]) == pytest.approx(1500, rel=0.02)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert times(1, until=30) == times(1, until=30)
    assert times(1, until=30) != times(2, until=30)


def test_without_load_time_still_goes_on() -> None:
    arrivals = Arrivals(LoadProfile(0), 1)
    assert arrivals.following() > 1
