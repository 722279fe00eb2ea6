"""A metric that is only known to lie between bounds: what they prove counts, and nothing is ever raised on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from support.correcting import NOW, observation, spec
from twinops.api.base import utc
from twinops.api.twin.drift import Direction, DriftAlert
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.core.assess.assessment import Assessment, assess, limits_in_force
from twinops.core.assess.availability import observed_for_status
from twinops.core.correction.demand import Demand
from twinops.core.correction.need import demand
from twinops.core.observation import Observation, Sample
from twinops.core.state import TwinState

TWIN = spec(
    expectedState={"metrics": {"cpuUsage": 50, "latencyMs": 120}},
    thresholds={"latencyMs": 50},
    limits={"latencyMs": 500},
    syncFrequencySeconds=60,
)
# 180 ms is the edge of what is allowed.
LIMITS = limits_in_force(TWIN, None)


def bounded(least: float | None, most: float | None) -> Sample:
    return Sample("latencyMs", Quality.BOUNDED, unit="ms", time=NOW, least=least, most=most, message="bounds")


FIRST_BUCKET, FAST, COARSE = bounded(0, 5000), bounded(0, 5), bounded(500.1, 1000)
OPEN_WITHIN, OPEN_BEYOND = bounded(100, None), bounded(10_000, None)


def seen(sample: Sample, cpu: float = 40) -> Observation:
    found = observation(cpuUsage=cpu)
    return dataclasses.replace(found, samples={**found.samples, "latencyMs": sample}, limits=LIMITS)


def lasting(sample: Sample, cpu: float = 40) -> tuple[Observation, Assessment]:
    """Return what is made of a metric after it has been so for five syncs."""
    state = TwinState()
    for sync in range(5):
        at = NOW + 60 * sync
        base = seen(dataclasses.replace(sample, time=at), cpu)
        now = dataclasses.replace(
            base, now=at, samples={k: dataclasses.replace(s, time=at) for k, s in base.samples.items()}
        )
        found = assess(TWIN, now, state)
        state = dataclasses.replace(state, risks=found.risks, drift=found.drift)
    return now, found


def too_high(found: Assessment) -> list[DriftAlert]:
    return [one for one in found.drift.alerts if one.component == "latencyMs" and one.direction is Direction.ABOVE]


def needed(sample: Sample, cpu: float = 40) -> Demand:
    now, found = lasting(sample, cpu)
    return demand(TWIN, now, found.drift, found.risks)


@pytest.mark.parametrize(
    ("sample", "penalty", "unknown", "alert", "beyond"),
    [
        pytest.param(FIRST_BUCKET, None, True, None, False, id="somewhere around everything"),
        pytest.param(FAST, 0.0, False, None, False, id="surely fast"),
        pytest.param(COARSE, 1.0, False, "at least 500.1 ms", True, id="surely slow"),
        pytest.param(OPEN_WITHIN, None, True, None, False, id="from within on"),
        pytest.param(OPEN_BEYOND, 1.0, False, "at least 10000 ms", True, id="surely far too slow"),
        pytest.param(bounded(200, None), 0.210526, False, "at least 200 ms", False, id="surely more than is allowed"),
    ],
)
def test_bounds_tell_what_they_prove(
    sample: Sample, *, penalty: float | None, unknown: bool, alert: str | None, beyond: bool
) -> None:
    _now, found = lasting(sample)

    penalties = {one.metric: one.penalty for one in found.health.components}
    assert penalties.get("latencyMs") == (None if penalty is None else pytest.approx(penalty, rel=1e-3))
    assert ("latencyMs" in found.health.unknown) == unknown
    assert [one.actual for one in too_high(found)] == ([] if alert is None else [alert])
    assert [risk.current for risk in found.risks] == ([True] if beyond else [])


@pytest.mark.parametrize("sample", [FIRST_BUCKET, FAST, COARSE, OPEN_WITHIN, OPEN_BEYOND])
def test_nothing_is_raised_on_bounds(sample: Sample) -> None:
    now, found = lasting(sample)

    wanted = needed(sample)
    assert wanted.needs == ()
    # Three replicas are there, and no more are recommended either.
    assert wanted.recommended <= 3
    assert not any(one.eligible for one in found.drift.alerts)
    assert now.samples["latencyMs"].value is None


@pytest.mark.parametrize(
    ("sample", "known", "holding"),
    [
        pytest.param(FAST, True, 1, id="surely fast: what was raised may go"),
        pytest.param(COARSE, True, 4, id="surely slow: it stays"),
        pytest.param(OPEN_BEYOND, True, 4, id="surely far too slow: it stays"),
        pytest.param(FIRST_BUCKET, False, 1, id="nobody knows: nothing is let go"),
    ],
)
def test_what_was_raised_is_held_by_what_bounds_prove(sample: Sample, *, known: bool, holding: int) -> None:
    wanted = needed(sample, cpu=20)

    assert (wanted.known, wanted.hold_floor) == (known, holding)


def test_another_metric_drives_whatever_bounds_say() -> None:
    wanted = needed(OPEN_BEYOND, cpu=97)

    assert [need.metric for need in wanted.needs] == ["cpuUsage"]
    assert all(need.fresh for need in wanted.needs)


def test_alert_stays_as_it_was_while_bounds_prove_nothing() -> None:
    _now, before = lasting(OPEN_BEYOND)
    observed = (ObservedMetric(name="latencyMs", quality=Quality.BOUNDED, time=utc(NOW)),)
    state = TwinState(drift=before.drift, observed=observed)

    after = assess(TWIN, seen(FIRST_BUCKET), state).drift

    [old], [new] = too_high(before), after.alerts
    assert (new.recent, new.persistent, new.since) == (old.recent, old.persistent, old.since)
    assert new.not_eligible_reason == "no fresh value (Bounded)"


def test_bounds_within_what_is_allowed_end_an_alert() -> None:
    _now, before = lasting(OPEN_BEYOND)
    state, found = TwinState(drift=before.drift), before
    for sync in range(5, 10):
        at = NOW + 60 * sync
        now = dataclasses.replace(seen(dataclasses.replace(FAST, time=at)), now=at)
        found = assess(TWIN, now, state)
        state = TwinState(drift=found.drift)

    assert too_high(found) == []


@pytest.mark.parametrize(
    ("sample", "lost"),
    [
        pytest.param(FIRST_BUCKET, True, id="nobody knows, from the first sync on"),
        pytest.param(COARSE, False, id="surely slow: seen"),
        pytest.param(FAST, False, id="surely fast: seen"),
    ],
)
def test_bounds_that_prove_nothing_leave_no_verdict_to_stand(sample: Sample, *, lost: bool) -> None:
    state = TwinState()
    for sync in range(4):
        at = NOW + 5 * sync
        now = dataclasses.replace(seen(dataclasses.replace(sample, time=at)), now=at)
        found = assess(TWIN, now, state)
        told = observed_for_status(now.samples, found.availability.unavailable_since)
        state = TwinState(drift=found.drift, health=found.health, observed=told)
        assert ("latencyMs" in found.availability.lost) is lost
        assert [one.unseen_since for one in told if one.name == "latencyMs"] == [None]


def test_what_bounds_proved_stands_for_a_moment_when_it_is_not_seen() -> None:
    now = seen(COARSE)
    first = assess(TWIN, now, TwinState())
    told = observed_for_status(now.samples, first.availability.unavailable_since)
    state = TwinState(drift=first.drift, health=first.health, observed=told)

    gone = seen(Sample("latencyMs", Quality.MISSING, reason="NoSuchSeries"))

    assert "latencyMs" in assess(TWIN, dataclasses.replace(gone, now=NOW + 5), state).availability.within_grace


def test_status_remembers_the_word_that_the_next_sync_goes_by() -> None:
    wire: Mapping[str, object] = ObservedMetric(name="a", quality=Quality.BOUNDED, time=utc(NOW)).to_wire()

    assert wire["quality"] == "Bounded"
    assert "value" not in wire
