"""Good manifests: what the API server makes of them, and that our models read what it returns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError, CommandError
from support.chart import ROOT
from support.manifests import SOURCE_SPEC, SPEC, merged
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import DigitalTwinSpec

Json = dict[str, Any]
Create = Callable[[Json], Json]

SOURCES = "/apis/twinops.dev/v1alpha1/metricssources"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
QUERY = "sum(up)"

FIVE_LINES = """\
source:
  systemType: APIGateway
  targetRef: {name: checkout}
expectedState:
  metrics: {cpuUsage: 50}
"""

ACCEPTED = [
    pytest.param(SPEC, id="shortest-useful"),
    pytest.param(yaml.safe_load(FIVE_LINES), id="five-lines"),
    pytest.param({"source": SPEC["source"]}, id="nothing-expected-yet"),
    pytest.param(merged(SPEC, {"source": {"targetRef": {"kind": "StatefulSet"}}}), id="statefulset"),
    pytest.param(
        merged(SPEC, {"source": {"targetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}}}),
        id="any-kind-that-may-have-scale",
    ),
    pytest.param(
        {"source": {"systemType": "Database", "labels": {"instance": "orders-0"}}}, id="outside-the-cluster-by-labels"
    ),
    pytest.param(
        {
            "source": {"systemType": "Custom", "metrics": [{"name": "queueDepth", "query": QUERY}]},
            "expectedState": {"metrics": {"queueDepth": -3.5}},
        },
        id="custom-metric-may-be-negative",
    ),
    pytest.param(merged(SPEC, {"source": {"metrics": [{"name": "latencyMs"}]}}), id="built-in-metric-without-query"),
    pytest.param(
        merged(SPEC, {"source": {"metrics": [{"name": "latencyMs", "query": 'x{a="$$",b=~".*$"} * 2'}]}}),
        id="dollars-that-are-no-placeholders",
    ),
    pytest.param(
        merged(SPEC, {"source": {"metrics": [{"name": "m", "query": "$(name)$(window)$(label.a.io/b)$(cpuCores)"}]}}),
        id="every-kind-of-placeholder",
    ),
    pytest.param(
        merged(SPEC, {"source": {"metrics": [{"name": f"m{i}", "query": QUERY * 500} for i in range(32)]}}),
        id="as-many-metrics-as-may-be",
    ),
    pytest.param(
        merged(SPEC, {"expectedState": {"metrics": {"errorRate": 0}}, "absoluteThresholds": {"errorRate": 0.02}}),
        id="expected-zero-with-absolute-threshold",
    ),
    pytest.param(
        merged(SPEC, {"expectedState": {"metrics": {"throughputRps": 100}}, "limits": {"throughputRps": 20}}),
        id="throughput-may-have-a-limit-below",
    ),
    pytest.param(merged(SPEC, {"limits": {"latencyMs": 500}}), id="whole-numbers-where-fractions-are-allowed"),
    pytest.param(merged(SPEC, {"syncFrequencySeconds": 5}), id="sync-every-5-seconds"),
    pytest.param(merged(SPEC, {"syncFrequencySeconds": 3600}), id="sync-every-hour"),
    pytest.param(merged(SPEC, {"expectedState": {"replicas": {"min": 3, "max": 3}}}), id="min-equal-to-max"),
    pytest.param(
        merged(SPEC, {"expectedState": {"labels": {"example.com/tier": "gold", "team": ""}}}), id="expected-labels"
    ),
    pytest.param(merged(SPEC, {"expectedState": {"learned": True}}), id="learned-beside-explicit"),
    pytest.param(
        {"source": SPEC["source"], "expectedState": {"learned": True}, "thresholds": {"latencyMs": 30}},
        id="all-learned-with-a-threshold",
    ),
    pytest.param(merged(SPEC, {"autoCorrection": {"cooldownSeconds": 0}}), id="no-cooldown"),
]

ACCEPTED_SOURCES = [
    pytest.param(SOURCE_SPEC, id="shortest"),
    pytest.param({"url": "https://mimir.example.com/prometheus"}, id="with-a-path"),
    pytest.param({"url": "http://[::1]:9090"}, id="ipv6"),
    pytest.param({"url": "http://10.0.0.7"}, id="ipv4"),
    pytest.param({"url": "http://p", "headers": {"X-Scope-OrgID": "a|b c"}}, id="header"),
    pytest.param({"url": "http://p", "externalLabels": {"cluster": "eu-1"}}, id="external label"),
    pytest.param({"url": "http://p", "replicaLabels": ["server_name", "__dc__"]}, id="replica labels"),
    pytest.param({"url": "https://p", "tls": {"insecureSkipVerify": True}}, id="tls-without-check"),
    pytest.param({"url": "http://p", "auth": {"basicAuthSecretRef": {"name": "prometheus"}}}, id="basic-auth"),
    pytest.param({"url": "http://p", "auth": {}, "headers": {}}, id="empty-as-templates-leave-it"),
]


@pytest.mark.parametrize("spec", ACCEPTED)
def test_a_good_twin_is_accepted_and_reads_back_as_given(create_twin: Create, spec: Json) -> None:
    stored = create_twin(spec)["spec"]
    given, read = DigitalTwinSpec.from_wire(spec), DigitalTwinSpec.from_wire(stored)
    # The API server's defaults and the models' own are the same.
    assert read == given


@pytest.mark.parametrize("spec", ACCEPTED_SOURCES)
@pytest.mark.usefixtures("definitions")
def test_a_good_metrics_source_is_accepted_and_reads_back_as_given(cluster: DevCluster, spec: Json) -> None:
    body = {"apiVersion": "twinops.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": "good"}, "spec": spec}
    stored = cluster.api.create(f"{SOURCES}?dryRun=All&fieldValidation=Strict", body)["spec"]
    assert MetricsSourceSpec.from_wire(stored) == MetricsSourceSpec.from_wire(spec)


def test_a_short_manifest_gets_its_defaults(create_twin: Create) -> None:
    twin = create_twin(yaml.safe_load(FIVE_LINES))
    assert twin["spec"] == {
        "source": {
            "systemType": "APIGateway",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "metricsSourceRef": {"name": "default"},
        },
        "syncFrequencySeconds": 60,
        "suspend": False,
        "expectedState": {"metrics": {"cpuUsage": 50}, "learned": False},
        "predictions": {"horizonsSeconds": [900, 1800, 3600], "historySeconds": 1814400},
        "autoCorrection": {
            "enabled": True,
            "mode": "Apply",
            "bounds": {"maxStepPercent": 100},
            "cooldownSeconds": 300,
            "ownershipPolicy": "Respect",
        },
    }
    # Else GitOps would take a twin that nobody has looked at for a finished one.
    assert twin["status"] == {"observedGeneration": -1}


def test_what_the_models_send_is_accepted(create_twin: Create) -> None:
    full = yaml.safe_load((ROOT / "examples" / "twin-full.yaml").read_text())["spec"]
    sent = DigitalTwinSpec.from_wire(full).to_wire()
    assert DigitalTwinSpec.from_wire(create_twin(sent)["spec"]) == DigitalTwinSpec.from_wire(full)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("definitions")
def test_every_example_applies(cluster: DevCluster, namespace: str, example: Path) -> None:
    documents = list(yaml.safe_load_all(example.read_text()))
    for document in documents:
        # Only cluster-scoped objects and those of the operator's namespace would outlive this test.
        if document["metadata"].get("namespace"):
            document["metadata"]["namespace"] = namespace
    dry = [] if all(document["kind"] != "MetricsSource" for document in documents) else ["--dry-run=server"]
    cluster.kubectl("apply", "-n", namespace, "--validate=strict", *dry, "-f", "-", stdin=yaml.safe_dump_all(documents))


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        pytest.param({"name": "other"}, "name", id="another-name"),
        pytest.param({"kind": "StatefulSet"}, "kind", id="another-kind"),
        pytest.param(None, "removed", id="taken-away"),
    ],
)
def test_the_target_cannot_be_changed(
    cluster: DevCluster, twins: str, create_twin: Create, patch: Json | None, changed: str
) -> None:
    del changed
    create_twin(merged(SPEC, {"source": {"labels": {"job": "checkout"}}}))
    with pytest.raises(ApiError, match=r"spec.source.targetRef: Invalid value: targetRef cannot be changed"):
        cluster.api.merge(f"{twins}/checkout", {"spec": {"source": {"targetRef": patch}}})


def test_a_target_cannot_be_added_later(cluster: DevCluster, twins: str, create_twin: Create) -> None:
    create_twin({"source": {"systemType": "WebService", "labels": {"job": "checkout"}}})
    with pytest.raises(ApiError, match="targetRef cannot be changed"):
        cluster.api.merge(f"{twins}/checkout", {"spec": {"source": {"targetRef": {"name": "checkout"}}}})


def test_everything_but_the_target_can_be_changed(cluster: DevCluster, twins: str, create_twin: Create) -> None:
    create_twin(SPEC)
    patch = {
        "source": {"systemType": "APIGateway", "metricsSourceRef": {"name": "thanos"}},
        "syncFrequencySeconds": 10,
        "suspend": True,
        "autoCorrection": {"mode": "Preview"},
    }
    changed = cluster.api.merge(f"{twins}/checkout", {"spec": patch})
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["source"]["systemType"] == "APIGateway"


def test_an_unknown_field_is_pruned_with_a_warning(cluster: DevCluster, twins: str) -> None:
    namespace = twins.split("/")[-2]
    body = {
        "apiVersion": "twinops.dev/v1alpha1",
        "kind": "DigitalTwin",
        "metadata": {"name": "checkout"},
        "spec": merged(SPEC, {"autoCorrection": {"dryRun": True}}),
    }
    stored = cluster.api.create(f"{twins}?fieldValidation=Warn", body)
    assert "dryRun" not in stored["spec"]["autoCorrection"]
    with pytest.raises(CommandError, match=r'unknown field "spec\.autoCorrection\.dryRun"'):
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(body))


def test_horizons_are_replaced_as_a_whole_by_server_side_apply(cluster: DevCluster, twins: str) -> None:
    namespace = twins.split("/")[-2]
    body = {"apiVersion": "twinops.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "checkout"}}
    for patch in ({}, {"predictions": {"horizonsSeconds": [600]}}):
        manifest = yaml.safe_dump(body | {"spec": merged(SPEC, patch)})
        cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=manifest)
    assert cluster.api.get(f"{twins}/checkout")["spec"]["predictions"]["horizonsSeconds"] == [600]
