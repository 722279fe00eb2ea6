"""What one answer of Prometheus becomes: a value with its age, a bound, or the reason why there is neither."""

from __future__ import annotations

import math

import pytest

from fakes.metrics_backend import FakeBackend
from support.gathering import (
    FRESHNESS,
    LATENCY,
    NOW,
    PART,
    PRESENCE,
    custom,
    gather,
    gives,
    twin,
)
from twinops.api.twin.observed import Quality
from twinops.core.metrics.queries import InstantAnswer

FIVE_ANSWERS = [
    pytest.param([gives(4), gives(NOW - 10), gives()], Quality.GOOD, "", id="good"),
    pytest.param([gives(), gives(), gives()], Quality.MISSING, "NoSuchSeries", id="no such series"),
    pytest.param([gives(), gives(NOW), gives(3)], Quality.EMPTY, "EmptyResult", id="series without a result"),
    pytest.param([gives(), gives(), gives(3)], Quality.STALE, "StaleSamples", id="gauge that ended"),
    pytest.param(
        [gives(), InstantAnswer(error="execution"), gives(3)], Quality.EMPTY, "EmptyResult", id="empty, age unknown"
    ),
    pytest.param([gives(math.nan), gives(NOW), gives()], Quality.NAN, "NotANumber", id="NaN"),
    pytest.param([gives(math.inf), gives(NOW), gives()], Quality.NAN, "Infinite", id="Inf"),
    pytest.param([gives(-math.inf), gives(NOW), gives()], Quality.NAN, "Infinite", id="minus Inf"),
    pytest.param([gives(4), gives(NOW - 121), gives()], Quality.STALE, "StaleSamples", id="old sample"),
    pytest.param([gives(4), gives(), gives()], Quality.STALE, "StaleSamples", id="series ended"),
    pytest.param([gives(4), gives(NOW - 120), gives()], Quality.GOOD, "", id="just fresh enough"),
    pytest.param([gives(0), gives(NOW), gives()], Quality.GOOD, "", id="zero is a value"),
    pytest.param([gives(4, 5), gives(NOW), gives()], Quality.ERROR, "ManySeries", id="two series"),
    pytest.param(
        [InstantAnswer(error="execution"), gives(NOW), gives()], Quality.ERROR, "QueryFailed", id="execution error"
    ),
    pytest.param(
        [InstantAnswer(error="too_large"), gives(NOW), gives()], Quality.ERROR, "ManySeries", id="too many to be read"
    ),
    pytest.param([InstantAnswer(error="bad_data"), gives(), gives()], Quality.ERROR, "QueryRefused", id="refused"),
    pytest.param(
        [gives(4), InstantAnswer(error="execution"), gives()],
        Quality.GOOD,
        "",
        id="age unknown is no fault of the value",
    ),
]


@pytest.mark.parametrize(("answers", "quality", "reason"), FIVE_ANSWERS)
async def test_answers_stay_different(answers: list[InstantAnswer], quality: Quality, reason: str) -> None:
    value, freshness, presence = answers
    backend = FakeBackend([(PRESENCE, presence), (FRESHNESS, freshness), ("up", value)])

    sample = (await gather(custom(), backend)).samples["queueLength"]

    assert (sample.quality, sample.reason) == (quality, reason)
    assert sample.actionable == (quality is Quality.GOOD)
    assert (sample.value is None) == (quality is not Quality.GOOD)
    assert bool(sample.message) == bool(reason)


async def test_time_is_that_of_the_newest_sample_not_of_asking() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW - 17)), ("up", gives(1))])

    assert (await gather(custom(), backend)).samples["queueLength"].time == NOW - 17


async def test_constant_is_as_of_now() -> None:
    sample = (await gather(custom("vector(7)"), FakeBackend([("vector(7)", gives(7))]))).samples["queueLength"]

    assert (sample.quality, sample.value, sample.time) == (Quality.GOOD, 7, NOW)


async def test_stale_after_can_be_set() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW - 200)), ("up", gives(1))])

    assert (await gather(custom(staleAfterSeconds=300), backend)).samples["queueLength"].quality is Quality.GOOD


async def test_fresh_candidate_is_preferred_to_a_stale_one() -> None:
    backend = FakeBackend(
        [
            ("timestamp(pod_cpu", gives(NOW)),
            (FRESHNESS, gives(NOW - 1000)),
            ("container_cpu", gives(10)),
            ("pod_cpu", gives(20)),
        ]
    )

    assert (await gather(twin("Worker"), backend)).samples["cpuUsage"].query == "pod-cpu"


@pytest.mark.parametrize(
    ("value", "top", "asked", "bound"),
    [
        pytest.param(10_000, gives(10_000), True, True, id="open bucket"),
        pytest.param(150, gives(200), True, False, id="round by chance"),
        pytest.param(1073.741823, gives(1073.741823), True, True, id="odd bound"),
        pytest.param(150.0000000123, gives(200), False, False, id="interpolated"),
        pytest.param(0, gives(0), False, False, id="zero"),
        pytest.param(10_000, gives(), True, False, id="nothing told"),
        pytest.param(10_000, InstantAnswer(error="execution"), True, False, id="look-up failed"),
    ],
)
async def test_quantile_in_the_open_bucket_is_a_lower_bound_and_no_value(
    value: float,
    top: InstantAnswer,
    asked: bool,  # noqa: FBT001 - a table's answers, both
    bound: bool,  # noqa: FBT001
) -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("quantile(1,", top), ("quantile(0.95,", gives(value))])

    gathered = await gather(custom(LATENCY), backend)

    sample = gathered.samples["queueLength"]
    assert [len(batch) for batch in backend.batches[1:]] == ([1] if asked else [])
    known = (Quality.BOUNDED, None, value) if bound else (Quality.GOOD, value, None)
    assert (sample.quality, sample.value, sample.least) == known
    assert ("at least" in sample.message) == bound


@pytest.mark.parametrize(
    ("bounds", "expected", "told"),
    [
        pytest.param(gives(0.0005, 5000), (Quality.BOUNDED, 0.0005, 5000), "at most 5000", id="from nothing on"),
        pytest.param(gives(1000, 500), (Quality.BOUNDED, 500, 1000), "between 500 and 1000", id="whatever their order"),
        pytest.param(gives(200, 200.0000001), (Quality.BOUNDED, 200.0000001, None), "at least 200", id="open, too"),
        pytest.param(gives(0, 0), (Quality.BOUNDED, 0, 0), "at most 0", id="nothing above zero"),
        pytest.param(gives(), (Quality.EMPTY, None, None), "no result", id="no traffic"),
        pytest.param(gives(math.nan), (Quality.EMPTY, None, None), "no result", id="NaN without traffic"),
        pytest.param(PART, (Quality.ERROR, None, None), "in part only", id="a part"),
    ],
)
async def test_quantile_that_nothing_supports_is_told_by_its_bounds(
    bounds: InstantAnswer, expected: tuple[Quality, float | None, float | None], told: str
) -> None:
    backend = FakeBackend(
        [("label_replace(histogram", bounds), (PRESENCE, gives(3)), (FRESHNESS, gives(NOW - 7)), ("unless", gives())]
    )

    sample = (await gather(custom(LATENCY), backend)).samples["queueLength"]

    assert (sample.quality, sample.least, sample.most) == expected
    assert sample.value is None
    assert not sample.actionable
    assert told in sample.message
    assert sample.quality is Quality.ERROR or sample.time == NOW - 7


async def test_bounds_of_series_that_have_ended_are_stale() -> None:
    backend = FakeBackend(
        [("label_replace(histogram", gives(0, 5)), (FRESHNESS, gives(NOW - 999)), ("unless", gives())]
    )

    sample = (await gather(custom(LATENCY), backend)).samples["queueLength"]

    assert (sample.quality, sample.least, sample.most) == (Quality.STALE, None, None)


@pytest.mark.parametrize(
    ("answer", "reason", "message"),
    [
        pytest.param(
            InstantAnswer(error="timeout", next_attempt=NOW + 65),
            "QueryFailed",
            "the query failed (timeout); it is asked again at 08:01:05 UTC",
            id="timed out",
        ),
        pytest.param(
            InstantAnswer(error="busy"),
            "QueryNotAsked",
            "other queries, the twin's own first, left no time for it",
            id="not asked",
        ),
    ],
)
async def test_a_query_that_is_not_asked_says_so(answer: InstantAnswer, reason: str, message: str) -> None:
    gathered = await gather(custom(), FakeBackend([("", answer)]))
    sample = gathered.samples["queueLength"]
    assert (sample.quality, sample.value, sample.reason) == (Quality.ERROR, None, reason)
    assert sample.message == message


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([PART, gives(NOW), gives(3)], id="the value"),
        pytest.param([gives(4), PART, gives(3)], id="its age"),
        pytest.param([gives(), PART, gives()], id="nothing, of a part"),
    ],
)
async def test_partial_answer_is_no_value(answers: list[InstantAnswer]) -> None:
    value, freshness, presence = answers
    backend = FakeBackend([(PRESENCE, presence), (FRESHNESS, freshness), ("up", value)])

    gathered = await gather(custom(), backend)

    sample = gathered.samples["queueLength"]
    assert (sample.quality, sample.reason, sample.value) == (Quality.ERROR, "PartialAnswer", None)
    assert "in part only" in sample.message
    assert not sample.actionable
    # Its past may be whole all the same, and is asked for.
    assert gathered.queries == {"queueLength": "up"}


async def test_number_of_pods_of_a_part_makes_the_mean_no_value() -> None:
    backend = FakeBackend([("count(", PART), (PRESENCE, gives()), (FRESHNESS, gives(NOW)), ("cpu", gives(40))])

    gathered = await gather(twin("Worker"), backend)

    assert gathered.samples["cpuUsage"].reason == "PartialAnswer"
