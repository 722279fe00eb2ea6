"""What a person at a terminal sees, and how status is kept apart from spec."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from support.manifests import SPEC, merged
from twinops.api.conditions import Condition, ConditionStatus
from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.api.twin.drift import Direction, Drift, DriftAlert, Severity
from twinops.api.twin.observed import Health, HealthComponent, ObservedMetric, Quality
from twinops.api.twin.predictions import Prediction, Risk
from twinops.api.twin.spec import CorrectionMode
from twinops.api.twin.status import DigitalTwinStatus, Summary

Json = dict[str, Any]
Create = Callable[[Json], Json]

NOW = datetime.now(UTC).replace(microsecond=0)
HPA = ObjectRef(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", name="checkout")

STATUS = DigitalTwinStatus(
    observed_generation=1,
    conditions=[
        Condition(
            type="Ready",
            status=ConditionStatus.TRUE,
            reason="Synced",
            message="all is well",
            last_transition_time=NOW,
            observed_generation=1,
        )
    ],
    summary=Summary(
        target="Deployment/checkout",
        drift="latencyMs +60% (low)",
        replicas="4/4",
        predicted="CPU may reach 95% in 30 minutes",
        last_action="raise minReplicas 2→6 (Applied)",
    ),
    health_score=87,
    health=Health(
        confidence=0.9,
        components=[HealthComponent(metric="latencyMs", penalty=0.2, weight=0.65, points=13)],
        unknown=["errorRate"],
    ),
    observed=[ObservedMetric(name="latencyMs", value=192, unit="ms", time=NOW, quality=Quality.GOOD, query="Custom")],
    predictions=[
        Prediction(
            horizon_seconds=900,
            time=NOW + timedelta(seconds=900),
            quantiles={"cpuUsage": (71.5, 80.0, 93.2)},
            confidence=0.62,
            risk_factors=["CPU may reach 95% in 30 minutes"],
        )
    ],
    risks=[
        Risk(
            metric="cpuUsage",
            limit=95,
            horizon_seconds=1800,
            probability=0.3,
            upper=97.5,
            since=NOW,
            recent="00111",
            persistent=True,
            message="CPU may reach 95% in 30 minutes",
        )
    ],
    drift=Drift(
        detected=True,
        alerts=[
            DriftAlert(
                component="latencyMs",
                severity=Severity.LOW,
                direction=Direction.ABOVE,
                expected="120 ms",
                actual="192 ms",
                deviation_percent=60,
                threshold_percent=50,
                since=NOW,
                recent="111",
                persistent=True,
                recommendation="raise minReplicas to 6",
                eligible=True,
            )
        ],
    ),
    replicas=4,
    recommended_replicas=6,
    need_below_since=NOW,
    corrections=[
        CorrectionRecord(
            id="1-1",
            time=NOW,
            action=CorrectionAction.RAISE,
            mode=CorrectionMode.APPLY,
            object=HPA,
            field="spec.minReplicas",
            from_=2,
            to=6,
            trigger="Risk/cpuUsage",
            why="4 x 97.5 / 95",
            limited_by=["maxStepPercent"],
            outcome=Outcome.APPLIED,
            outcome_time=NOW,
        )
    ],
    originals=[
        Original(object=HPA, field="spec.minReplicas", value=2, manager="kubectl", operation="Update", time=NOW, ours=6)
    ],
    samples_collected=300,
    failing_since=NOW,
    last_sync_time=NOW,
    last_handled_sync_request="2026-01-01T00:00:00Z",
)


def columns(output: str) -> list[str]:
    """Return the column names of a table; kubectl parts them by three blanks or more."""
    return [name.strip() for name in output.splitlines()[0].split("   ") if name.strip()]


@pytest.fixture
def twin(cluster: DevCluster, twins: str, create_twin: Create) -> str:
    """Path of a twin whose status is filled in everywhere."""
    version = create_twin(SPEC)["metadata"]["resourceVersion"]
    path = f"{twins}/checkout"
    cluster.api.merge(f"{path}/status", {"metadata": {"resourceVersion": version}, "status": STATUS.to_wire()})
    return path


def test_get_shows_the_promised_columns(cluster: DevCluster, namespace: str, twin: str) -> None:
    del twin
    table = cluster.kubectl("get", "digitaltwins", "-n", namespace)
    assert columns(table) == [
        "NAME",
        "TARGET",
        "HEALTH",
        "DRIFT",
        "REPLICAS",
        "PREDICTED",
        "READY",
        "LAST SYNC",
        "AGE",
    ]
    row = table.splitlines()[1]
    assert row.startswith(
        "checkout   Deployment/checkout   87       latencyMs +60% (low)   4/4        CPU may reach 95%"
    )


def test_get_wide_adds_the_details(cluster: DevCluster, namespace: str, twin: str) -> None:
    del twin
    table = cluster.kubectl("get", "dt", "-n", namespace, "-o", "wide")
    assert columns(table)[-3:] == ["CONFIDENCE", "LAST ACTION", "MODE"]
    assert table.splitlines()[1].rstrip().endswith("0.62         raise minReplicas 2→6 (Applied)   Apply")


@pytest.mark.parametrize("word", ["dt", "twin", "digitaltwin", "digitaltwins.twinops.dev"])
def test_every_name_finds_the_twin(cluster: DevCluster, namespace: str, twin: str, word: str) -> None:
    del twin
    assert cluster.kubectl("get", word, "-n", namespace, "-o", "name").split() == ["digitaltwin.twinops.dev/checkout"]


def test_the_category_lists_twins_and_sources(cluster: DevCluster, namespace: str, twin: str) -> None:
    del twin
    source = {
        "apiVersion": "twinops.dev/v1alpha1",
        "kind": "MetricsSource",
        "metadata": {"name": namespace},
        "spec": {"url": "http://p"},
    }
    cluster.api.create("/apis/twinops.dev/v1alpha1/metricssources", source)
    try:
        listed = cluster.kubectl("get", "twins", "-A", "-o", "name").split()
        table = cluster.kubectl("get", "msrc", namespace)
    finally:
        cluster.api.delete(f"/apis/twinops.dev/v1alpha1/metricssources/{namespace}")
    assert {"digitaltwin.twinops.dev/checkout", f"metricssource.twinops.dev/{namespace}"} <= set(listed)
    assert columns(table) == ["NAME", "URL", "READY", "AGE"]


@pytest.mark.parametrize(
    ("field", "telling"),
    [
        pytest.param("dt.spec.source", "Where the twin's reality is", id="source"),
        pytest.param("dt.spec.source.metrics.query", "PromQL that yields one series", id="query"),
        pytest.param("dt.spec.autoCorrection.bounds", "The envelope that corrections", id="bounds"),
        pytest.param("dt.status.predictions", "What is foreseen", id="predictions"),
        pytest.param("dt.status.conditions.reason", "one CamelCase word", id="condition-reason"),
        pytest.param("msrc.spec.auth", "How the operator proves itself", id="auth"),
    ],
)
@pytest.mark.usefixtures("definitions")
def test_explain_explains(cluster: DevCluster, field: str, telling: str) -> None:
    text = cluster.kubectl("explain", field)
    assert telling in " ".join(text.split())
    assert "<no description>" not in text.partition("FIELDS:")[2]


def test_a_full_status_reads_back_as_written(cluster: DevCluster, twin: str) -> None:
    assert DigitalTwinStatus.from_wire(cluster.api.get(twin)["status"]) == STATUS


def test_writing_the_spec_leaves_the_status_alone(cluster: DevCluster, twin: str) -> None:
    after = cluster.api.merge(twin, {"spec": {"syncFrequencySeconds": 30}, "status": {"healthScore": 1}})
    assert after["status"]["healthScore"] == 87
    assert after["metadata"]["generation"] == 2


def test_writing_the_status_leaves_the_spec_alone(cluster: DevCluster, twin: str) -> None:
    after = cluster.api.merge(f"{twin}/status", {"spec": {"syncFrequencySeconds": 30}, "status": {"healthScore": 55}})
    assert (after["status"]["healthScore"], after["spec"]["syncFrequencySeconds"]) == (55, 60)
    assert after["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("status", "telling"),
    [
        pytest.param(
            {"healthScore": 101},
            "status.healthScore: Invalid value: 101: healthScore in body should be less than or equal to 100",
            id="101",
        ),
        pytest.param(
            {"conditions": [STATUS.to_wire()["conditions"][0]] * 2},
            r'status.conditions\[1\]: Duplicate value: {\\+"type\\+":\\+"Ready\\+"}',
            id="condition-twice",
        ),
        pytest.param(
            {"corrections": STATUS.to_wire()["corrections"] * 11},
            "status.corrections: Too many: 11: must have at most 10 items",
            id="eleven-corrections",
        ),
        pytest.param(
            {"lastSyncTime": "now"},
            r"status.lastSyncTime: Invalid value: .*: lastSyncTime in body must be of type date-time",
            id="no-time",
        ),
    ],
)
def test_a_bad_status_is_refused(cluster: DevCluster, twin: str, status: Json, telling: str) -> None:
    with pytest.raises(ApiError, match=telling):
        cluster.api.merge(f"{twin}/status", {"status": status})


def test_a_large_twin_fits_with_all_its_status(cluster: DevCluster, twins: str, create_twin: Create) -> None:
    """The largest status that the schema allows must not reach etcd's limit of 1.5 MB."""
    names = [f"m{i}" for i in range(32)]
    create_twin(merged(SPEC, {"source": {"metrics": [{"name": name, "query": "x" * 4096} for name in names]}}))
    wire = STATUS.to_wire()
    wire["corrections"] = [wire["corrections"][0] | {"why": "w" * 1024, "message": "m" * 1024}] * 10
    wire["observed"] = [wire["observed"][0] | {"name": name, "message": "m" * 1024} for name in names]
    wire["drift"]["alerts"] = [
        wire["drift"]["alerts"][0] | {"recommendation": "r" * 1024, "notEligibleReason": "n" * 1024}
    ] * 64
    wire["predictions"] = [
        wire["predictions"][0] | {"quantiles": {name: [1, 2, 3] for name in names}, "riskFactors": ["r" * 1024] * 32}
    ] * 6
    wire["risks"] = [wire["risks"][0] | {"message": "m" * 1024}] * 32
    cluster.api.merge(f"{twins}/checkout/status", {"status": wire})


def test_describe_is_read_on_one_page_and_tells_the_restart_state_in_one_line(
    cluster: DevCluster, namespace: str, twin: str
) -> None:
    state = "ab" * 480
    cluster.api.merge(f"{twin}/status", {"status": {"restartState": state}})
    lines = cluster.kubectl("describe", "digitaltwins", "checkout", "-n", namespace).splitlines()
    assert [line.split()[-1] for line in lines if "Restart State:" in line] == [state]
    assert all(len(line) < 300 for line in lines if "Restart State:" not in line)
    assert any(line.split() == ["Cpu", "Usage:"] for line in lines), "the quantiles of the forecast"


def test_no_field_of_the_status_is_tracked_apart(cluster: DevCluster, twin: str) -> None:
    """The tracking of every field would take two kilobytes of every twin."""
    version = cluster.api.get(twin)["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "status": STATUS.to_wire() | {"healthScore": 88}}
    entries = cluster.api.merge(f"{twin}/status", patch)["metadata"]["managedFields"]
    [status] = [entry["fieldsV1"]["f:status"] for entry in entries if entry.get("subresource") == "status"]
    assert status == {}
