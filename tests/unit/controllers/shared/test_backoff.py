"""How soon what failed is tried again."""

from __future__ import annotations

import itertools

import pytest

from twinops.controllers.shared.backoff import SPREAD, Backoff, Failure


@pytest.mark.parametrize("what", Failure, ids=lambda what: what.word)
def test_pauses_double_up_to_the_longest(what: Failure) -> None:
    backoff = Backoff("uid-1")
    pauses = [backoff.failed(what) for _ in range(12)]
    share = pauses[0] / what.first
    assert 1 - SPREAD <= share <= 1 + SPREAD
    assert pauses == [pytest.approx(share * min(what.first * 2**n, what.longest)) for n in range(12)]


def test_objects_that_fail_together_are_tried_again_apart() -> None:
    pauses = [Backoff(f"uid-{number}").failed(Failure.SYNC) for number in range(200)]
    assert 4.0 <= min(pauses) < 4.2
    assert 5.8 < max(pauses) <= 6.0


def test_what_the_other_side_asks_for_is_kept() -> None:
    backoff = Backoff("uid-1")
    assert backoff.failed(Failure.CONFLICT, at_least=90.0) == 90.0
    assert backoff.failed(Failure.CONFLICT, at_least=0.1) > 1.0


def test_kinds_are_counted_apart() -> None:
    backoff = Backoff("uid-1")
    first = {what: backoff.failed(what) for what in Failure}
    backoff.succeeded(Failure.SYNC, Failure.CRASH)
    assert backoff.failed(Failure.SYNC) == first[Failure.SYNC]
    assert backoff.failed(Failure.WRITE) > first[Failure.WRITE]
    backoff.reset()
    assert {what: backoff.failed(what) for what in Failure} == first


def test_the_words_differ() -> None:
    assert all(one.word != other.word for one, other in itertools.combinations(Failure, 2))
