"""Builders for tests about corrections: a twin of the Deployment ``checkout`` and its HPA."""

from __future__ import annotations

import dataclasses
from typing import Any

from twinops.api.base import utc
from twinops.api.references import ObjectRef, TargetRef
from twinops.api.twin.corrections import Original
from twinops.api.twin.drift import Direction, Drift, DriftAlert, Severity
from twinops.api.twin.observed import Quality
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.lever import FieldOwner, Lever
from twinops.core.observation import Observation, Sample, Workload
from twinops.core.state import TwinState

NOW = 1_700_000_000.0
HPA = ObjectRef(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", name="checkout")
SCALE = ObjectRef(api_version="apps/v1", kind="Deployment", name="checkout")
OURS = FieldOwner("twinops", "Apply")
KUBECTL = FieldOwner("kubectl-client-side-apply", "Update")
SERVER_SIDE = FieldOwner("kubectl", "Apply")


def spec(correction: dict[str, Any] | None = None, **more: Any) -> DigitalTwinSpec:
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}}
    return DigitalTwinSpec.from_wire({"source": source, "autoCorrection": correction or {}, **more})


def hpa(value: int | None = 2, *owners: FieldOwner, maximum: int = 20, **more: Any) -> Lever:
    known: dict[str, Any] = {
        "object": HPA,
        "uid": "hpa-uid",
        "resource_version": "1",
        "field": "spec.minReplicas",
        "value": value,
        "minimum": value or 1,
        "maximum": maximum,
        "owners": owners,
    }
    return Lever(**(known | more))


def scale(value: int | None = 2, *owners: FieldOwner, **more: Any) -> Lever:
    known: dict[str, Any] = {
        "object": SCALE,
        "uid": "deployment-uid",
        "field": "spec.replicas",
        "minimum": None,
        "maximum": None,
    }
    return dataclasses.replace(hpa(value, *owners), **(known | more))


def original(value: int | None = 2, *, ours: int | None = 6, **more: Any) -> Original:
    known: dict[str, Any] = {
        "object": HPA,
        "field": "spec.minReplicas",
        "value": value,
        "ours": ours,
        "time": utc(NOW - 3600),
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "bounds_min": 2,
        "bounds_max": 20,
    }
    return Original(**(known | more))


def workload(ready: int = 3, desired: int | None = None) -> Workload:
    return Workload(
        ref=TargetRef(name="checkout"), uid="deployment-uid", ready=ready, desired=ready if desired is None else desired
    )


def observation(lever: Lever | None = None, *, ready: int = 3, **values: float) -> Observation:
    samples = {metric: Sample(metric, Quality.GOOD, value) for metric, value in values.items()}
    return Observation(now=NOW, samples=samples, workload=workload(ready), lever=hpa() if lever is None else lever)


def alert(metric: str, **more: Any) -> DriftAlert:
    known: dict[str, Any] = {
        "component": metric,
        "severity": Severity.HIGH,
        "direction": Direction.ABOVE,
        "expected": "50%",
        "actual": "80%",
        "since": utc(NOW),
        "persistent": True,
        "eligible": True,
    }
    return DriftAlert(**(known | more))


def drift(*alerts: DriftAlert) -> Drift:
    return Drift(detected=bool(alerts), alerts=list(alerts))


def risk(metric: str = "cpuUsage", *, limit: float = 95, upper: float = 118, **more: Any) -> Risk:
    known: dict[str, Any] = {
        "metric": metric,
        "limit": limit,
        "horizon_seconds": 60,
        "probability": 0.8,
        "upper": upper,
        "since": utc(NOW),
        "persistent": True,
        "calibrated": True,
        "message": f"{metric} may be high",
    }
    return Risk(**(known | more))


def status(**more: Any) -> DigitalTwinStatus:
    return DigitalTwinStatus(**({"last_sync_time": utc(NOW - 60)} | more))


def state(**more: Any) -> TwinState:
    return TwinState.from_status(status(**more))
