"""What Prometheus scrapes: one series per twin while it lives, none after."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakes.clock import START, FakeClock, in_fake_time
from twinops.adapters.telemetry import PrometheusTelemetry
from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Telemetry

CHECKOUT = TwinRef("shop", "checkout", "uid-1")
LABELS = (("namespace", "shop"), ("twin", "checkout"))

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(telemetry: PrometheusTelemetry) -> Series:
    families = text_string_to_metric_families(telemetry.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def status(**change: Any) -> DigitalTwinStatus:
    return DigitalTwinStatus.from_wire({"healthScore": 90, "recommendedReplicas": 3} | change)


def risk(metric: str, probability: float) -> dict[str, Any]:
    return {
        "metric": metric,
        "limit": 95,
        "horizonSeconds": 900,
        "probability": probability,
        "upper": 99,
        "since": "2026-11-22T10:00:00Z",
        "message": "may be reached",
    }


@in_fake_time
async def test_it_satisfies_the_port_and_starts_empty() -> None:
    telemetry: Telemetry = PrometheusTelemetry(FakeClock())
    assert isinstance(telemetry, PrometheusTelemetry)
    series = scrape(telemetry)
    assert series["twinops_twins", ()] == 0
    assert series["twinops_leader", ()] == 0
    assert not [name for name, labels in series if "twin" in dict(labels)]


@in_fake_time
async def test_a_twin_is_published() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    telemetry.assessed(CHECKOUT, status(risks=[risk("cpuUsage", 0.7)], drift={"detected": True, "alerts": []}))
    telemetry.synced(CHECKOUT, result="ok", seconds=0.2, late_seconds=-0.1)
    series = scrape(telemetry)
    assert series["twinops_twins", ()] == 1
    assert series["twinops_health_score", LABELS] == 90
    assert series["twinops_recommended_replicas", LABELS] == 3
    assert series["twinops_drift_detected", LABELS] == 1
    assert series["twinops_last_sync_timestamp_seconds", LABELS] == START
    assert series["twinops_risk_probability", (("metric", "cpuUsage"), *LABELS)] == 0.7
    assert series["twinops_sync_total", (("result", "ok"),)] == 1
    assert series["twinops_sync_duration_seconds_sum", ()] == pytest.approx(0.2)
    assert series["twinops_sync_lag_seconds_bucket", (("le", "0.1"),)] == 1


@in_fake_time
async def test_what_is_no_longer_known_is_no_longer_published() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    telemetry.assessed(CHECKOUT, status(risks=[risk("cpuUsage", 0.7), risk("latencyMs", 0.5)]))
    telemetry.assessed(CHECKOUT, status(healthScore=None, recommendedReplicas=None, risks=[risk("latencyMs", 0.4)]))
    series = scrape(telemetry)
    assert ("twinops_health_score", LABELS) not in series
    assert ("twinops_recommended_replicas", LABELS) not in series
    assert ("twinops_risk_probability", (("metric", "cpuUsage"), *LABELS)) not in series
    assert series["twinops_risk_probability", (("metric", "latencyMs"), *LABELS)] == 0.4


@in_fake_time
async def test_drift_that_is_not_known_is_not_published() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    drifted = {"type": "Drifted", "reason": "NoFreshMetrics", "lastTransitionTime": "2026-11-22T10:00:00Z"}
    for told, expected in (("False", 0), ("Unknown", None)):
        telemetry.assessed(CHECKOUT, status(conditions=[drifted | {"status": told}]))
        assert scrape(telemetry).get(("twinops_drift_detected", LABELS)) == expected


@in_fake_time
async def test_zero_is_a_value() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    telemetry.assessed(CHECKOUT, status(healthScore=0, recommendedReplicas=0))
    series = scrape(telemetry)
    assert series["twinops_health_score", LABELS] == 0
    assert series["twinops_recommended_replicas", LABELS] == 0


@in_fake_time
async def test_a_twin_that_goes_takes_its_series_along_but_not_its_successors() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    successor = TwinRef("shop", "checkout", "uid-2")
    telemetry.assessed(CHECKOUT, status(healthScore=10))
    telemetry.assessed(successor, status(healthScore=80))
    telemetry.forget(CHECKOUT)
    assert scrape(telemetry)["twinops_health_score", LABELS] == 80
    telemetry.forget(successor)
    assert ("twinops_health_score", LABELS) not in scrape(telemetry)


@in_fake_time
async def test_only_the_leader_speaks_for_twins() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    telemetry.leads(leading=True)
    telemetry.assessed(CHECKOUT, status())
    assert scrape(telemetry)["twinops_leader", ()] == 1
    telemetry.leads(leading=False)
    series = scrape(telemetry)
    assert series["twinops_leader", ()] == 0
    assert series["twinops_twins", ()] == 0


@in_fake_time
async def test_counters_and_sources() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    telemetry.status_written("material")
    telemetry.corrected(CHECKOUT, Outcome.APPLIED)
    telemetry.reverted(CHECKOUT)
    telemetry.source_answered("default", up=True)
    telemetry.source_answered("other", up=False)
    series = scrape(telemetry)
    assert series["twinops_status_writes_total", (("kind", "material"),)] == 1
    assert series["twinops_corrections_total", (("namespace", "shop"), ("outcome", "Applied"))] == 1
    assert series["twinops_corrections_reverted_total", (("namespace", "shop"),)] == 1
    assert series["twinops_metrics_source_up", (("source", "default"),)] == 1
    assert series["twinops_metrics_source_up", (("source", "other"),)] == 0
    telemetry.source_gone("other")
    telemetry.source_gone("never seen")
    assert ("twinops_metrics_source_up", (("source", "other"),)) not in scrape(telemetry)


@in_fake_time
async def test_two_can_live_in_one_process() -> None:
    clock = FakeClock()
    one, two = PrometheusTelemetry(clock), PrometheusTelemetry(clock)
    one.leads(leading=True)
    assert scrape(two)["twinops_leader", ()] == 0
