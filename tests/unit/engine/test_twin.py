"""A twin without Kubernetes: what its engine says is what forecaster and step say by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from support.correcting import NOW, hpa, original, risk, spec, workload
from twinops.api.twin.corrections import CorrectionAction
from twinops.api.twin.observed import Quality
from twinops.core.assess.assessment import limits_in_force
from twinops.core.assess.censoring import calibration_excluded, risk_excluded
from twinops.core.correction.outcome import raised
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.metrics.censoring import lower_bounds
from twinops.core.observation import Held, Observation, Sample
from twinops.core.state import TwinState
from twinops.core.twin import NOT_DECIDED, step
from twinops.engine.twin import TwinEngine

STEP = 60.0
METRICS = ("cpuUsage", "latencyMs", "throughputRps")
TWIN = spec(limits={"cpuUsage": 95, "latencyMs": 300}, limitsPerReplica={"throughputRps": 100})
LEVER = hpa(2)
MINUTES = 150


def forecaster() -> Forecaster:
    return Forecaster(METRICS, STEP, TWIN.predictions.horizons_seconds)


def samples(minute: int) -> dict[str, Sample]:
    """Return what is seen: load that grows, noise, and a quarter of an hour without latency."""
    noise = np.random.default_rng(minute).normal(0, 2)
    load = 150 + minute + noise
    values = {"cpuUsage": load / 3, "latencyMs": 80 + load / 4, "throughputRps": load}
    now = NOW + STEP * minute
    good = {name: Sample(name, Quality.GOOD, value, time=now) for name, value in values.items()}
    if 100 <= minute < 115:
        good["latencyMs"] = Sample("latencyMs", Quality.MISSING, reason="NoSuchSeries")
    return good


def test_hours_of_an_engine_are_those_of_forecaster_and_step_by_hand() -> None:
    engine, learner, state = TwinEngine(TWIN, forecaster()), forecaster(), TwinState()
    held = Held({LEVER.key: LEVER})
    for minute in range(MINUTES):
        now, seen, target = NOW + STEP * minute, samples(minute), workload(3 + minute // 100)
        censored = lower_bounds(seen)
        told = engine.sync(now, seen, workload=target, replicas=target.ready, censored=censored, lever=LEVER, held=held)
        limits = limits_in_force(TWIN, target)
        forecast_result = learner.observe(
            now,
            {name: sample.value for name, sample in seen.items() if sample.actionable},
            limits=limits,
            replicas=target.ready,
            calibration_excluded=calibration_excluded(TWIN, state, now),
            risk_excluded=risk_excluded(TWIN, state, now),
            censored=censored,
        )
        observation = Observation(
            now, seen, forecast_result, limits=limits, workload=target, lever=LEVER, held=held
        )  # fmt: skip
        expected = step(TWIN, state, observation, generation=1)
        state = expected.state
        assert told.state == engine.state == state
        assert (told.decision, told.assessment.forecasts) == (expected.decision, expected.assessment.forecasts)
    assert told.assessment.forecasts.keys() == set(METRICS)
    assert told.decision.trigger


def test_limits_may_be_given_and_are_those_of_the_spec_otherwise() -> None:
    engine = TwinEngine(TWIN, forecaster())
    assert engine.sync(NOW, samples(0), workload=workload(4)).observation.limits["throughputRps"] == 400
    assert engine.sync(NOW + STEP, samples(1), limits={"cpuUsage": 1.0}).observation.limits == {"cpuUsage": 1.0}


def test_with_corrections_left_out_nothing_is_decided() -> None:
    engine = TwinEngine(TWIN, forecaster(), TwinState(saved_values=(original(2),)), corrections=False)
    done = engine.sync(NOW, samples(0), workload=workload(3), lever=LEVER)
    assert (done.decision.reason, done.state.saved_values) == (NOT_DECIDED, (original(2),))


def test_whoever_carries_a_correction_out_puts_its_outcome_into_the_state() -> None:
    engine = TwinEngine(TWIN, forecaster(), TwinState(risks=(risk(recent="0111"),)))
    for minute in range(5):
        seen = {"cpuUsage": Sample("cpuUsage", Quality.GOOD, 190.0, time=NOW + STEP * minute)}
        done = engine.sync(NOW + STEP * minute, seen, workload=workload(3), lever=LEVER)
        if done.plan.writes:
            break
    assert done.decision.action is CorrectionAction.RAISE
    [record], [saved] = engine.state.corrections, engine.state.saved_values
    engine.state = raised(engine.state, record, saved, now=NOW + STEP * minute)
    lever = dataclasses.replace(LEVER, value=record.to)
    after = engine.sync(NOW + STEP * (minute + 1), seen, workload=workload(3), lever=lever)
    assert "cpuUsage" in calibration_excluded(TWIN, after.state, after.observation.now)


@pytest.mark.parametrize("value", [math.nan, 50.0])
def test_only_what_is_real_and_fresh_is_learned(value: float) -> None:
    engine = TwinEngine(TWIN, forecaster())
    stale = {"cpuUsage": Sample("cpuUsage", Quality.STALE, value, time=NOW)}
    assert engine.sync(NOW, stale).observation.forecast_result.samples["cpuUsage"] == 0
