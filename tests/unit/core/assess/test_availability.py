"""What a twin says of metrics that are not seen any more: as before for a grace period, then nothing; never better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinops.api.conditions import ConditionType, find
from twinops.api.twin.observed import Health, ObservedMetric, Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import assess
from twinops.core.assess.availability import assess_availability
from twinops.core.assess.health import assess_health, scores_with_lost
from twinops.core.forecast.horizon import QUANTILES, HorizonForecast
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.core.observation import Observation, Sample
from twinops.core.rights import Refusal, RefusalReason
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.events import transitions
from twinops.core.status.failed import render_cluster_failed, render_crashed, render_metrics_failed, render_stalled
from twinops.core.status.render import render_synced

T0 = 1_700_000_000.0
MINUTE = 60.0
EXPECTED = {"latencyMs": 100.0, "cpuUsage": 50.0}
LIMITS = {"latencyMs": 500.0, "cpuUsage": 95.0}
MISSING = {"latencyMs": Quality.MISSING}
UNAVAILABLE = "no answer"


def spec(**more: Any) -> DigitalTwinSpec:
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}}
    given = {"source": source, "expectedState": {"metrics": EXPECTED}, "limits": LIMITS}
    return DigitalTwinSpec.from_wire(given | more)


def ahead(metric: str, value: float) -> HorizonForecast:
    del metric
    return HorizonForecast(900, tuple(value + k for k in range(len(QUANTILES))), 0.5, 100, calibrated=True)


class Life:
    """One twin from sync to sync, a minute apart: values by metric, or why there is none."""

    def __init__(self, twin: DigitalTwinSpec | None = None) -> None:
        self.spec = twin or spec()
        self.status = DigitalTwinStatus()
        self.now = T0
        self.events: list[str] = []

    def sync(self, times: int = 1, **seen: float | Quality) -> DigitalTwinStatus:
        for _ in range(times):
            samples = {name: _sample(name, value, self.now) for name, value in seen.items()}
            # The memory goes on forecasting from what it saw last.
            forecasts = {name: (ahead(name, 600.0 if name == "latencyMs" else 40.0),) for name in samples}
            skills = [Skill(name, 0.7, 0.9, 1.0, 100) for name in samples]
            forecast_result = ForecastResult(
                forecasts=forecasts, skills=skills, samples=dict.fromkeys(samples, 500), restart_state="packed"
            )
            observation = Observation(self.now, samples, forecast_result, limits=LIMITS)
            found = assess(self.spec, observation, TwinState.from_status(self.status))
            base = self.status.model_copy(update={"recommended_replicas": 4})
            self._then(render_synced(base, self.spec, self._sync(), observation, found, {}, None))
        return self.status

    def fail(self, times: int = 1) -> DigitalTwinStatus:
        samples = {name: Sample(name, Quality.ERROR, reason="MetricsUnavailable") for name in EXPECTED}
        for _ in range(times):
            self._then(render_metrics_failed(self.status, self._sync(), samples, UNAVAILABLE))
        return self.status

    def refuse(self, times: int = 1, *, lasting: bool) -> DigitalTwinStatus:
        for _ in range(times):
            refusal = Refusal(RefusalReason.FORBIDDEN if lasting else RefusalReason.CLUSTER_UNAVAILABLE, "no")
            self._then(render_cluster_failed(self.status, self._sync(), refusal))
        return self.status

    def stall(self, times: int = 1) -> DigitalTwinStatus:
        for _ in range(times):
            self._then(render_stalled(self.status, self._sync(), "TargetNotFound", "make it"))
        return self.status

    def crash(self, times: int = 1) -> DigitalTwinStatus:
        for _ in range(times):
            self._then(render_crashed(self.status, self._sync()))
        return self.status

    def told(self, kind: ConditionType) -> tuple[str, str]:
        found = find(self.status.conditions, kind)
        return ("absent", "") if found is None else (found.status.value, found.reason)

    def _sync(self) -> Sync:
        return Sync(1, self.now, None)

    def _then(self, status: DigitalTwinStatus) -> None:
        # As it comes back from the API server, so that nothing lives in memory alone.
        status = DigitalTwinStatus.from_wire(status.to_wire())
        self.events += [event.reason for event in transitions(self.status, status)]
        self.status = status
        self.now += MINUTE


def _sample(name: str, value: float | Quality, now: float) -> Sample:
    if isinstance(value, Quality):
        return Sample(name, value, reason="NoSuchSeries")
    return Sample(name, Quality.GOOD, value, time=now)


@pytest.mark.parametrize("quality", [q for q in Quality if q is not Quality.GOOD])
def test_an_exporter_that_dies_is_not_a_recovery(quality: Quality) -> None:
    life = Life()
    before = life.sync(6, latencyMs=400.0, cpuUsage=50.0)
    assert before.health_score == 58
    assert life.told(ConditionType.HEALTHY) == ("False", "ScoreLow")
    assert life.told(ConditionType.DRIFTED) == ("True", "OutsideThreshold")
    assert life.events[-1:] == ["RiskPredicted"]

    for _ in range(2):
        within = life.sync(latencyMs=quality, cpuUsage=50.0)
        assert within.health_score == before.health_score, "the last verdict stands for the grace period"
        assert within.health is not None
        assert within.health.confidence < 0.7
        assert life.told(ConditionType.HEALTHY) == ("False", "ScoreLow")
        assert life.told(ConditionType.DRIFTED) == ("True", "OutsideThreshold")
        assert [risk.metric for risk in within.risks] == ["latencyMs"]

    after = life.sync(60, latencyMs=quality, cpuUsage=50.0)
    assert after.health_score is None
    assert life.told(ConditionType.HEALTHY) == ("Unknown", "NoFreshMetrics")
    assert life.told(ConditionType.DRIFTED) == ("Unknown", "NoFreshMetrics")
    assert (after.risks, after.drift.alerts, after.drift.detected) == ([], [], False)
    assert after.summary is not None
    assert after.summary.drift == "unknown"
    assert list(after.predictions[0].quantiles) == ["cpuUsage"], "no forecast from a last value"
    assert set(life.events).isdisjoint({"RiskPassed", "DriftResolved", "Healthy", "Recovered"})

    back = life.sync(3, latencyMs=100.0, cpuUsage=50.0)
    assert back.health_score == 100
    assert life.told(ConditionType.HEALTHY) == ("True", "ScoreHigh")
    assert life.told(ConditionType.DRIFTED) == ("False", "WithinThreshold")
    assert "DriftResolved" in life.events, "now somebody has seen it"


def test_all_metrics_lost_leaves_nothing_known() -> None:
    life = Life()
    life.sync(6, latencyMs=100.0, cpuUsage=50.0)
    after = life.sync(4, latencyMs=Quality.STALE, cpuUsage=Quality.MISSING)
    assert after.health_score is None
    assert after.health is not None
    assert after.health.confidence == 0
    assert after.predictions == []
    assert (after.recommended_replicas, after.drift.detected) == (None, False)
    assert life.told(ConditionType.HEALTHY) == ("Unknown", "NoFreshMetrics")
    assert life.told(ConditionType.DRIFTED) == ("Unknown", "NoFreshMetrics")
    assert life.told(ConditionType.PREDICTIONS_AVAILABLE) == ("False", "NoFreshMetrics")
    assert after.forecast_skill is None
    assert after.restart_state == "packed", "a restart resumes from it"
    assert after.summary is not None
    assert (after.summary.drift, after.summary.predicted) == ("unknown", "unknown")
    assert life.told(ConditionType.READY) == ("True", "Synced"), "spec, target and backend are well"


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(lambda life, times: life.fail(times), id="backend"),
        pytest.param(lambda life, times: life.stall(times), id="stalled"),
        pytest.param(lambda life, times: life.refuse(times, lasting=True), id="right taken away"),
        pytest.param(lambda life, times: life.refuse(times, lasting=False), id="API server"),
        pytest.param(lambda life, times: life.crash(times), id="defect"),
    ],
)
def test_after_the_grace_period_nothing_stands_of_a_twin_that_nobody_has_seen(away: Any) -> None:
    life = Life()
    before = life.sync(6, latencyMs=400.0, cpuUsage=90.0)
    assert (before.health_score, before.drift.detected, len(before.risks)) == (19, True, 1)

    within = away(life, 1)
    assert within.health_score == before.health_score
    assert life.told(ConditionType.HEALTHY) == ("False", "ScoreLow")
    condition = find(within.conditions, ConditionType.HEALTHY)
    assert condition is not None
    assert condition.message.startswith("last seen before 22:1")

    after = away(life, 60)
    assert (after.health_score, after.predictions, after.risks) == (None, [], [])
    assert (after.replicas, after.recommended_replicas, after.samples_collected) == (None, None, None)
    assert after.drift.unknown == ["cpuUsage", "latencyMs"]
    assert after.health is not None
    assert (after.health.confidence, after.health.components) == (0, [])
    assert [metric.value for metric in after.observed] == [None, None]
    for kind in (ConditionType.HEALTHY, ConditionType.DRIFTED, ConditionType.CORRECTION_BLOCKED):
        assert life.told(kind)[0] == "Unknown"
    assert life.told(ConditionType.PREDICTIONS_AVAILABLE)[0] == "False"
    assert life.told(ConditionType.READY)[0] != "True"
    assert after.summary is not None
    assert (after.summary.drift, after.summary.predicted) == ("unknown", "unknown")
    assert set(life.events).isdisjoint({"RiskPassed", "DriftResolved", "Healthy", "Recovered"})

    # What was bad when it was last seen is no better because nobody looked for an hour.
    partly = life.sync(latencyMs=Quality.MISSING, cpuUsage=50.0)
    assert partly.health_score is None
    assert life.told(ConditionType.HEALTHY)[0] == "Unknown"
    assert life.told(ConditionType.DRIFTED)[0] == "Unknown"
    life.sync(3, latencyMs=100.0, cpuUsage=50.0)
    assert life.told(ConditionType.HEALTHY)[0] == "True"
    assert life.told(ConditionType.DRIFTED)[0] == "False"


def test_what_is_left_of_a_twin_can_be_sick_whatever_the_rest_may_be() -> None:
    life = Life()
    life.sync(6, latencyMs=200.0, cpuUsage=50.0)
    life.sync(4, latencyMs=Quality.MISSING, cpuUsage=95.0)
    assert life.told(ConditionType.HEALTHY) == ("False", "ScoreLow")


def test_a_good_metric_that_is_lost_makes_no_twin_sick() -> None:
    life = Life()
    life.sync(6, latencyMs=100.0, cpuUsage=70.0)
    assert life.told(ConditionType.HEALTHY) == ("True", "ScoreHigh")
    life.sync(6, latencyMs=Quality.MISSING, cpuUsage=70.0)
    assert life.told(ConditionType.HEALTHY) == ("Unknown", "NoFreshMetrics")
    well = Life()
    well.sync(6, latencyMs=100.0, cpuUsage=50.0)
    well.sync(6, latencyMs=Quality.MISSING, cpuUsage=50.0)
    assert well.told(ConditionType.HEALTHY) == ("True", "ScoreHigh"), "with the metric as it was it would be the same"
    assert well.told(ConditionType.DRIFTED) == ("False", "WithinThreshold")


def test_a_metric_that_was_never_seen_costs_confidence_alone() -> None:
    life = Life()
    after = life.sync(6, latencyMs=Quality.MISSING, cpuUsage=50.0)
    assert after.health_score == 100
    assert life.told(ConditionType.HEALTHY) == ("True", "ScoreHigh")
    assert after.health is not None
    assert (after.health.unknown, after.health.last_known) == (["latencyMs"], [])


def test_a_stand_in_that_a_person_gave_ends_the_doubt() -> None:
    rule = {"name": "latencyMs", "onMissing": "Value", "missingValue": 100}
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}, "metrics": [rule]}
    life = Life(spec(source=source))
    life.sync(6, latencyMs=400.0, cpuUsage=50.0)
    samples = {
        "latencyMs": Sample("latencyMs", Quality.MISSING, 100.0),
        "cpuUsage": Sample("cpuUsage", Quality.GOOD, 50.0),
    }
    score, health = assess_health(life.spec, samples, previous=life.status.health, lost={"latencyMs"})
    assert (score, health.last_known) == (100, [])


def test_since_when_a_metric_is_not_seen_is_kept_until_it_is() -> None:
    life = Life()
    life.sync(latencyMs=100.0, cpuUsage=50.0)
    life.sync(3, latencyMs=Quality.STALE, cpuUsage=50.0)
    since = {metric.name: metric.unseen_since for metric in life.status.observed}
    assert since["cpuUsage"] is None
    assert since["latencyMs"] is not None
    assert since["latencyMs"].timestamp() == T0 + MINUTE
    life.sync(latencyMs=100.0, cpuUsage=50.0)
    assert all(metric.unseen_since is None for metric in life.status.observed)


def test_assess_availability() -> None:
    good = [ObservedMetric(name="latencyMs", quality=Quality.GOOD)]
    missing = {"latencyMs": Sample("latencyMs", Quality.MISSING), "cpuUsage": Sample("cpuUsage", Quality.NAN)}
    seen = assess_availability(missing, good, T0)
    assert dict(seen.unavailable_since) == {"latencyMs": T0}
    assert (sorted(seen.lost), sorted(seen.within_grace)) == (["cpuUsage"], ["latencyMs"])
    assert assess_availability(missing, good, T0, grace_seconds=0).lost == {"cpuUsage", "latencyMs"}


PENALTIES = st.dictionaries(st.sampled_from(["latencyMs", "cpuUsage", "memoryUsage", "errorRate"]), st.floats(0, 1))


@given(penalties=PENALTIES, lost=st.sets(st.sampled_from(["latencyMs", "cpuUsage", "memoryUsage", "errorRate"])))
def test_losing_metrics_never_raises_the_score(penalties: Mapping[str, float], lost: set[str]) -> None:
    twin = spec(
        expectedState={"metrics": dict.fromkeys(["latencyMs", "cpuUsage", "memoryUsage", "errorRate"], 0.0)},
        limits={"latencyMs": 1.0, "cpuUsage": 1.0, "memoryUsage": 1.0, "errorRate": 1.0},
    )
    samples = {name: Sample(name, Quality.GOOD, value) for name, value in penalties.items()}
    before, health = assess_health(twin, samples)
    unseen = samples | {name: Sample(name, Quality.MISSING) for name in lost & samples.keys()}
    within_grace, _ = assess_health(twin, unseen, previous=health)
    assert before is None or (within_grace is not None and abs(within_grace - before) <= 1), "but for rounding"
    after, left = assess_health(twin, unseen, previous=health, lost=lost)
    if before is not None and after is not None:
        assert after <= before + 2
    found = scores_with_lost(twin, left)
    assert found is None or found.best >= found.last_known - 1e-9


def test_the_memory_of_what_was_seen_survives_any_number_of_syncs_that_see_nothing() -> None:
    twin = spec()
    _, health = assess_health(twin, {"latencyMs": Sample("latencyMs", Quality.GOOD, 400.0)})
    for _ in range(5):
        _, health = assess_health(
            twin, {"latencyMs": Sample("latencyMs", Quality.MISSING)}, previous=health, lost={"latencyMs"}
        )
        health = Health.from_wire(health.to_wire())
    assert [(one.metric, one.penalty) for one in health.last_known] == [("latencyMs", 0.75)]


def test_without_traffic_nothing_is_lost_and_nothing_foreseen() -> None:
    life = Life()
    life.sync(6, latencyMs=400.0, cpuUsage=50.0, throughputRps=20.0)
    assert life.told(ConditionType.DRIFTED)[0] == "True"
    after = life.sync(6, latencyMs=Quality.NAN, cpuUsage=50.0, throughputRps=0.0)
    assert after.health_score == 100
    assert life.told(ConditionType.HEALTHY)[0] == "True"
    assert life.told(ConditionType.DRIFTED)[0] == "False"
    assert (after.risks, after.drift.unknown) == ([], [])
    assert list(after.predictions[0].quantiles) == ["cpuUsage", "throughputRps"]
    assert "DriftResolved" in life.events
    away = life.sync(6, latencyMs=Quality.NAN, cpuUsage=50.0, throughputRps=Quality.MISSING)
    assert away.health_score == 100
    assert life.told(ConditionType.DRIFTED)[0] == "False"
