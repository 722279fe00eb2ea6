"""What stands in for a value that is not there, as the spec's ``onMissing`` says."""

from __future__ import annotations

from typing import Any

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
    held,
)
from twinops.api.base import utc
from twinops.api.twin.observed import ObservedMetric, Quality


@pytest.mark.parametrize(
    ("before", "time", "words"),
    [
        pytest.param(
            ObservedMetric(name="queueLength", quality=Quality.EMPTY, time=utc(NOW - 150), query="Custom"),
            NOW - 150,
            "150 s old",
            id="seen before",
        ),
        pytest.param(
            ObservedMetric(name="queueLength", quality=Quality.GOOD, time=utc(NOW - 150), query="other"),
            None,
            "no sample in the last 120 s",
            id="of another query",
        ),
        pytest.param(
            ObservedMetric(name="queueLength", quality=Quality.ERROR, query="Custom"),
            None,
            "no sample in the last 120 s",
            id="never seen",
        ),
        pytest.param(None, None, "no sample in the last 120 s", id="first sync"),
    ],
)
async def test_gauge_that_ended_tells_how_old_it_is(
    before: ObservedMetric | None, time: float | None, words: str
) -> None:
    previous = [] if before is None else [before]

    sample = (await gather(custom(), FakeBackend([(PRESENCE, gives(3))]), previous)).samples["queueLength"]

    assert (sample.quality, sample.value, sample.time) == (Quality.STALE, None, time)
    assert words in sample.message


STAND_INS = [
    pytest.param({"onMissing": "Hold"}, held(5, 299), Quality.HELD, 5.0, id="held"),
    pytest.param({"onMissing": "Hold"}, held(5, 299, Quality.HELD), Quality.HELD, 5.0, id="held on"),
    pytest.param({"onMissing": "Hold"}, held(5, 301), Quality.MISSING, None, id="held long enough"),
    pytest.param({"onMissing": "Hold", "holdSeconds": 600}, held(5, 301), Quality.HELD, 5.0, id="held longer"),
    pytest.param({"onMissing": "Hold"}, held(5, 10, Quality.NAN), Quality.MISSING, None, id="a stand-in is not held"),
    pytest.param({"onMissing": "Hold"}, held(None, 10), Quality.MISSING, None, id="nothing to hold"),
    pytest.param({"onMissing": "Hold"}, None, Quality.MISSING, None, id="first sync"),
    pytest.param({"onMissing": "Ignore"}, held(5, 10), Quality.MISSING, None, id="ignored"),
    pytest.param({}, held(5, 10), Quality.MISSING, None, id="ignored by default"),
    pytest.param({"onMissing": "Value", "missingValue": 0}, held(5, 10), Quality.MISSING, 0.0, id="value"),
]


@pytest.mark.parametrize(("rules", "before", "quality", "value"), STAND_INS)
async def test_stand_ins_never_make_a_correction_eligible(
    rules: dict[str, Any], before: ObservedMetric | None, quality: Quality, value: float | None
) -> None:
    previous = [] if before is None else [before]

    sample = (await gather(custom(**rules), FakeBackend(), previous)).samples["queueLength"]

    assert (sample.quality, sample.value) == (quality, value)
    assert sample.reason == "NoSuchSeries"
    assert not sample.actionable
    if quality is Quality.HELD and before is not None and before.time is not None:
        assert sample.time == before.time.timestamp()
        assert sample.unit == "items"


async def test_bounds_are_not_replaced_by_what_was_before() -> None:
    last = ObservedMetric(name="queueLength", value=7, quality=Quality.GOOD, time=utc(NOW - 60), query="Custom")
    backend = FakeBackend([("label_replace(histogram", gives(0, 5)), (FRESHNESS, gives(NOW)), ("unless", gives())])

    sample = (await gather(custom(LATENCY, onMissing="Hold"), backend, [last])).samples["queueLength"]

    assert (sample.quality, sample.most) == (Quality.BOUNDED, 5)


@pytest.mark.parametrize(
    ("rules", "quality", "value"),
    [
        pytest.param({"onMissing": "Hold"}, Quality.HELD, 7.0, id="hold"),
        pytest.param({"onMissing": "Value", "missingValue": 3}, Quality.ERROR, 3.0, id="value"),
        pytest.param({"onMissing": "Ignore"}, Quality.ERROR, None, id="ignore"),
    ],
)
async def test_rules_for_missing_values_hold_for_partial_ones(
    rules: dict[str, Any], quality: Quality, value: float | None
) -> None:
    last = ObservedMetric(name="queueLength", value=7, quality=Quality.GOOD, time=utc(NOW - 60), query="Custom")
    backend = FakeBackend([(PRESENCE, gives()), (FRESHNESS, gives(NOW)), ("up", PART)])

    sample = (await gather(custom(**rules), backend, [last])).samples["queueLength"]

    assert (sample.quality, sample.value, sample.reason) == (quality, value, "PartialAnswer")
