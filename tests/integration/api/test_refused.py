"""Bad manifests, each refused by the real API server with words that say what is wrong, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from support.manifests import SOURCE_SPEC, SPEC, merged

Json = dict[str, Any]

HORIZON_LIST = [60, 120, 180, 240, 300, 360, 420]
QUERY = "sum(up)"
NO_TARGET = {"source": {"targetRef": None, "labels": {"job": "checkout"}}}


def metric(**fields: Any) -> Json:
    return {"source": {"metrics": [{"name": "queueDepth", "query": QUERY} | fields]}}


def expected(**metrics: Any) -> Json:
    return {"expectedState": {"metrics": metrics}}


REFUSED_TWINS = [
    # source
    pytest.param({"source": None}, "spec.source: Required value", id="no-source"),
    pytest.param({"source": {"systemType": None}}, "spec.source.systemType: Required value", id="no-system-type"),
    pytest.param(
        {"source": {"systemType": "Mainframe"}},
        'spec.source.systemType: Unsupported value: "Mainframe": supported values: "APIGateway"',
        id="unknown-system-type",
    ),
    pytest.param(
        {"source": {"targetRef": {"name": None}}},
        "spec.source.targetRef.name: Required value",
        id="target-without-name",
    ),
    pytest.param(
        {"source": {"targetRef": {"name": "Check_Out"}}},
        "spec.source.targetRef.name in body should match",
        id="target-name-no-dns-name",
    ),
    pytest.param(
        {"source": {"targetRef": {"name": "x" * 254}}},
        "spec.source.targetRef.name: Too long: may not be more than 253",
        id="target-name-too-long",
    ),
    pytest.param(
        {"source": {"targetRef": {"kind": "deployment"}}},
        "spec.source.targetRef.kind in body should match",
        id="target-kind-in-lower-case",
    ),
    pytest.param(
        {"source": {"targetRef": {"apiVersion": "apps"}}},
        "spec.source.targetRef.apiVersion in body should match",
        id="target-api-version-without-version",
    ),
    pytest.param(
        {"source": {"targetRef": {"kind": "DaemonSet"}}},
        "spec.source.targetRef.kind: Invalid value: DaemonSet has no /scale",
        id="target-that-cannot-be-scaled",
    ),
    pytest.param(
        {"source": {"targetRef": None}},
        "spec.source: Invalid value: without targetRef give labels that this system's series carry",
        id="neither-target-nor-labels-nor-metrics",
    ),
    pytest.param(
        {"source": {"metricsSourceRef": {"name": ""}}},
        "spec.source.metricsSourceRef.name in body should be at least 1 chars long",
        id="source-ref-with-empty-name",
    ),
    pytest.param(
        {"source": {"labels": {"app name": "x"}}},
        "spec.source.labels: Invalid value: keys must be Prometheus label names",
        id="source-label-with-space",
    ),
    pytest.param(
        {"source": {"labels": {"__name__": "up"}}},
        "spec.source.labels: Invalid value: keys must be Prometheus label names",
        id="source-label-reserved",
    ),
    pytest.param(
        {"source": {"labels": {f"l{i}": "x" for i in range(17)}}},
        "spec.source.labels: Too many: 17: must have at most 16 items",
        id="too-many-source-labels",
    ),
    # metrics
    pytest.param(
        {"source": {"metrics": [{"name": "queueDepth"}]}},
        "spec.source.metrics: Invalid value: a metric without query must be one with a built-in query",
        id="own-metric-without-query",
    ),
    pytest.param(
        {"source": {"systemType": "Custom", "metrics": [{"name": "cpuUsage"}]}},
        "spec.source.metrics: Invalid value: a metric without query must be one with a built-in query",
        id="custom-has-no-built-in-queries",
    ),
    pytest.param(
        {"source": {"systemType": "Custom"}, "expectedState": None},
        "spec.source.metrics: Invalid value: systemType Custom has no built-in queries",
        id="custom-without-metrics",
    ),
    pytest.param(
        {"source": {"metrics": [{"query": QUERY}]}}, "spec.source.metrics[0].name: Required value", id="metric-no-name"
    ),
    pytest.param(metric(name="queue-depth"), "spec.source.metrics[0].name in body should match", id="metric-bad-name"),
    pytest.param(
        {"source": {"metrics": [{"name": "queueDepth", "query": QUERY}] * 2}},
        'spec.source.metrics[1]: Duplicate value: {"name":"queueDepth"}',
        id="metric-twice",
    ),
    pytest.param(
        {"source": {"metrics": [{"name": f"m{i}", "query": QUERY} for i in range(33)]}},
        "spec.source.metrics: Too many: 33: must have at most 32 items",
        id="too-many-metrics",
    ),
    pytest.param(
        metric(query=""), "spec.source.metrics[0].query in body should be at least 1 chars long", id="empty-query"
    ),
    pytest.param(
        metric(query="x" * 4097),
        "spec.source.metrics[0].query: Too long: may not be more than 4096",
        id="query-too-long",
    ),
    pytest.param(
        metric(query='up{namespace="$(ns)"}'),
        "spec.source.metrics[0].query: Invalid value: unknown placeholder; known are $(namespace), $(name)",
        id="unknown-placeholder",
    ),
    pytest.param(
        merged(NO_TARGET, metric(query='up{pod=~"$(podRegex)"}')),
        "spec.source.metrics: Invalid value: $(name), $(podRegex), $(cpuCores) and $(memoryBytes) come from the target",
        id="pod-placeholder-without-target",
    ),
    pytest.param(
        metric(staleAfterSeconds=4),
        "spec.source.metrics[0].staleAfterSeconds in body should be greater than or equal to 5",
        id="stale-after-too-short",
    ),
    pytest.param(
        metric(onMissing="Zero"),
        'spec.source.metrics[0].onMissing: Unsupported value: "Zero": supported values: "Hold", "Ignore", "Value"',
        id="unknown-on-missing",
    ),
    pytest.param(
        metric(onMissing="Value"),
        "spec.source.metrics[0].onMissing: Invalid value: onMissing Value needs missingValue",
        id="on-missing-value-without-value",
    ),
    pytest.param(
        metric(missingValue=1),
        "spec.source.metrics[0].missingValue: Invalid value: missingValue is used with onMissing Value only",
        id="missing-value-that-is-not-used",
    ),
    # timer
    pytest.param(
        {"syncFrequencySeconds": 4},
        "spec.syncFrequencySeconds in body should be greater than or equal to 5",
        id="sync-too-often",
    ),
    pytest.param(
        {"syncFrequencySeconds": 3601},
        "spec.syncFrequencySeconds in body should be less than or equal to 3600",
        id="sync-too-seldom",
    ),
    pytest.param(
        {"syncFrequencySeconds": "60s"},
        "spec.syncFrequencySeconds in body must be of type integer",
        id="sync-as-duration-string",
    ),
    pytest.param(
        {"syncFrequencySeconds": 7.5},
        "spec.syncFrequencySeconds in body must be of type integer",
        id="sync-in-fractions",
    ),
    # expected state, thresholds, limits
    pytest.param(
        expected(cpuUsage="50%"),
        "spec.expectedState.metrics.cpuUsage in body must be of type number",
        id="expected-as-text",
    ),
    pytest.param(
        expected(cpuUsgae=50),
        "spec.expectedState.metrics: Invalid value: this twin has no such metric: every key must be cpuUsage",
        id="expected-metric-misspelt",
    ),
    pytest.param(
        expected(errorRate=2),
        "spec.expectedState.metrics: Invalid value: errorRate is a share between 0 and 1",
        id="error-rate-in-percent",
    ),
    pytest.param(
        expected(latencyMs=-1),
        "spec.expectedState.metrics: Invalid value: cpuUsage, memoryUsage",
        id="negative-latency",
    ),
    pytest.param(
        expected(errorRate=0),
        "spec.expectedState.metrics: Invalid value: a deviation in percent of 0 has no meaning",
        id="expected-zero-without-absolute-threshold",
    ),
    pytest.param(
        {"source": {"systemType": "Custom", "metrics": [{"name": "queueDepth", "query": QUERY}]}},
        "spec.expectedState.metrics: Invalid value: this twin has no such metric",
        id="custom-expects-a-metric-it-does-not-define",
    ),
    pytest.param(
        {"expectedState": {"replicas": {"min": 5, "max": 2}}},
        "spec.expectedState.replicas.min: Invalid value: min must not be above max",
        id="replicas-min-above-max",
    ),
    pytest.param(
        {"expectedState": {"replicas": {}}},
        "spec.expectedState.replicas: Invalid value: give min, max or both",
        id="replicas-empty",
    ),
    pytest.param(
        {"expectedState": {"replicas": {"min": -1}}},
        "spec.expectedState.replicas.min in body should be greater than or equal to 0",
        id="replicas-negative",
    ),
    pytest.param(
        {"expectedState": {"labels": {"bad key": "x"}}},
        "spec.expectedState.labels: Invalid value: keys must be Kubernetes label keys",
        id="expected-label-key",
    ),
    pytest.param(
        {"expectedState": {"labels": {"team": "the shop"}}},
        "spec.expectedState.labels.team in body should match",
        id="expected-label-value",
    ),
    pytest.param(
        {"expectedState": {"version": ""}},
        "spec.expectedState.version in body should be at least 1 chars long",
        id="empty-version",
    ),
    pytest.param(
        merged(NO_TARGET, {"expectedState": {"version": "1.0"}}),
        "spec.expectedState: Invalid value: replicas, version and labels are read from the target",
        id="version-without-target",
    ),
    pytest.param(
        {"expectedState": {"learned": "yes"}},
        "spec.expectedState.learned: Invalid value",
        id="learned-is-true-or-false",
    ),
    pytest.param(
        {"thresholds": {"cpuUsage": 0}},
        "spec.thresholds.cpuUsage in body should be greater than 0",
        id="threshold-zero",
    ),
    pytest.param(
        {"absoluteThresholds": {"errorRate": -0.1}},
        "spec.absoluteThresholds.errorRate in body should be greater than 0",
        id="absolute-threshold-negative",
    ),
    pytest.param(
        {"thresholds": {"queueDepth": 20}},
        "spec.thresholds: Invalid value: this twin has no such metric",
        id="threshold-of-unknown-metric",
    ),
    pytest.param(
        {"absoluteThresholds": {"Latency Ms": 20}},
        "spec.absoluteThresholds: Invalid value: this twin has no such metric",
        id="absolute-threshold-key-no-metric-name",
    ),
    pytest.param(
        {"limits": {"cpu": 95}}, "spec.limits: Invalid value: this twin has no such metric", id="limit-misnamed"
    ),
    pytest.param(
        {"limits": {"cpuUsage": 50}},
        "spec.limits: Invalid value: a limit must lie beyond the value in expectedState.metrics",
        id="limit-at-expected",
    ),
    pytest.param(
        {"limits": {"errorRate": 5}},
        "spec.limits: Invalid value: errorRate is a share between 0 and 1",
        id="error-rate-limit-in-percent",
    ),
    pytest.param(
        {"limitsPerReplica": {"throughputRps": 0}},
        "spec.limitsPerReplica.throughputRps in body should be greater than 0",
        id="per-replica-limit-zero",
    ),
    pytest.param(
        {"limits": {f"m{i}": 1 for i in range(33)}},
        "spec.limits: Too many: 33: must have at most 32 items",
        id="too-many-limits",
    ),
    # predictions
    pytest.param(
        {"predictions": {"horizonsSeconds": []}},
        "spec.predictions.horizonsSeconds in body should have at least 1 items",
        id="no-horizons",
    ),
    pytest.param(
        {"predictions": {"horizonsSeconds": HORIZON_LIST}},
        "spec.predictions.horizonsSeconds: Too many: 7: must have at most 6 items",
        id="too-many-horizons",
    ),
    pytest.param(
        {"predictions": {"horizonsSeconds": [900, 1800, 900]}},
        "spec.predictions.horizonsSeconds: Invalid value: horizons must differ from each other",
        id="horizon-twice",
    ),
    pytest.param(
        {"predictions": {"horizonsSeconds": [1]}},
        "spec.predictions.horizonsSeconds[0] in body should be greater than or equal to 5",
        id="horizon-too-near",
    ),
    pytest.param(
        {"predictions": {"historySeconds": 6_000_000}},
        "spec.predictions.historySeconds in body should be less than or equal to 5184000",
        id="history-too-long",
    ),
    # correction
    pytest.param(
        {"autoCorrection": {"mode": "Dryrun"}},
        'spec.autoCorrection.mode: Unsupported value: "Dryrun": supported values: "Apply", "Preview"',
        id="unknown-mode",
    ),
    pytest.param(
        {"autoCorrection": {"enabled": "yes"}},
        "spec.autoCorrection.enabled in body must be of type boolean",
        id="enabled-as-text",
    ),
    pytest.param(
        {"autoCorrection": {"ownershipPolicy": "Ignore"}},
        'spec.autoCorrection.ownershipPolicy: Unsupported value: "Ignore"',
        id="unknown-ownership-policy",
    ),
    pytest.param(
        {"autoCorrection": {"bounds": {"minReplicas": 9, "maxReplicas": 3}}},
        "spec.autoCorrection.bounds.minReplicas: Invalid value: minReplicas must not be above maxReplicas",
        id="bounds-min-above-max",
    ),
    pytest.param(
        {"autoCorrection": {"bounds": {"minReplicas": 0}}},
        "spec.autoCorrection.bounds.minReplicas in body should be greater than or equal to 1",
        id="bounds-min-zero",
    ),
    pytest.param(
        {"autoCorrection": {"bounds": {"maxStepPercent": 0}}},
        "spec.autoCorrection.bounds.maxStepPercent in body should be greater than or equal to 1",
        id="step-zero",
    ),
    pytest.param(
        {"autoCorrection": {"cooldownSeconds": -1}},
        "spec.autoCorrection.cooldownSeconds in body should be greater than or equal to 0",
        id="cooldown-negative",
    ),
    pytest.param(
        merged(NO_TARGET, {"autoCorrection": {"horizontalPodAutoscalerRef": {"name": "checkout"}}}),
        "spec.autoCorrection.horizontalPodAutoscalerRef: Invalid value: a HorizontalPodAutoscaler needs a target",
        id="hpa-without-target",
    ),
    # fields that do not exist
    pytest.param(
        {"autoCorrection": {"dryRun": True}}, 'unknown field "spec.autoCorrection.dryRun"', id="unknown-field"
    ),
    pytest.param(
        {"source": {"metrics": [{"name": "latencyMs", "promql": QUERY}]}},
        'unknown field "spec.source.metrics[0].promql"',
        id="unknown-field-in-a-list",
    ),
]

REFUSED_SOURCES = [
    pytest.param({"url": None}, "spec.url: Required value", id="no-url"),
    pytest.param(
        {"url": "prometheus:9090"},
        'spec.url: Invalid value: "prometheus:9090": url must begin with http:// or https://',
        id="url-without-scheme",
    ),
    pytest.param(
        {"url": "ftp://prometheus"},
        'spec.url: Invalid value: "ftp://prometheus": url must begin with http:// or https://',
        id="url-ftp",
    ),
    pytest.param(
        {"url": "http://user:secret@prometheus"},
        'spec.url: Invalid value: "http://user:secret@prometheus": url must not carry credentials',
        id="url-with-credentials",
    ),
    pytest.param(
        {"url": "http://prometheus?tenant=a"},
        'spec.url: Invalid value: "http://prometheus?tenant=a": url is a base URL, without query (?) and fragment (#)',
        id="url-with-query",
    ),
    pytest.param(
        {"url": "http://"},
        'spec.url: Invalid value: "http://": url has no host, or is not a URL',
        id="url-without-host",
    ),
    pytest.param(
        {"url": "http://prome theus"},
        'spec.url: Invalid value: "http://prome theus": url has no host, or is not a URL',
        id="url-with-space",
    ),
    pytest.param({"url": "http://" + "x" * 2048}, "spec.url: Too long: may not be more than 2048", id="url-too-long"),
    pytest.param(
        {"auth": {"bearerTokenSecretRef": {"name": "a", "key": "b"}, "basicAuthSecretRef": {"name": "a"}}},
        "spec.auth: Invalid value: give bearerTokenSecretRef or basicAuthSecretRef, not both",
        id="both-kinds-of-auth",
    ),
    pytest.param(
        {"auth": {"bearerTokenSecretRef": {"name": "a"}}},
        "spec.auth.bearerTokenSecretRef.key: Required value",
        id="bearer-token-without-key",
    ),
    pytest.param(
        {"auth": {"bearerTokenSecretRef": {"name": "a", "key": "../b"}}},
        "spec.auth.bearerTokenSecretRef.key in body should match",
        id="secret-key-is-a-path",
    ),
    pytest.param(
        {"auth": {"basicAuthSecretRef": {"name": "a", "namespace": "kube-system"}}},
        'unknown field "spec.auth.basicAuthSecretRef.namespace"',
        id="secret-of-another-namespace",
    ),
    pytest.param(
        {"tls": {"insecureSkipVerify": True}},
        "spec.tls: Invalid value: tls needs a url that begins with https://",
        id="tls-on-http",
    ),
    pytest.param(
        {"url": "https://p", "tls": {"insecureSkipVerify": True, "caSecretRef": {"name": "a", "key": "b"}}},
        "spec.tls.insecureSkipVerify: Invalid value: insecureSkipVerify accepts any certificate",
        id="ca-that-has-no-effect",
    ),
    pytest.param(
        {"headers": {"aUTHORIZATION": "Bearer x"}},
        "spec.headers: Invalid value: Authorization, Cookie, Host and the like cannot be set here",
        id="credentials-in-headers",
    ),
    pytest.param(
        {"externalLabels": {"__name__": "a"}},
        "spec.externalLabels: Invalid value: keys must be Prometheus label names",
        id="external-label-key",
    ),
    pytest.param(
        {"replicaLabels": ["replica-name"]},
        "spec.replicaLabels[0] in body should match",
        id="replica-label",
    ),
    pytest.param(
        {"headers": {"X Tenant": "a"}},
        "spec.headers: Invalid value: header names are letters, digits and -",
        id="header-name-with-space",
    ),
    pytest.param(
        {"headers": {"X-Tenant": "a\r\nAuthorization: x"}},
        "spec.headers.X-Tenant in body should match",
        id="header-smuggled-in",
    ),
    pytest.param(
        {"scrapeIntervalSeconds": 0},
        "spec.scrapeIntervalSeconds in body should be greater than or equal to 1",
        id="scrape-interval-zero",
    ),
    pytest.param(
        {"timeoutSeconds": 61}, "spec.timeoutSeconds in body should be less than or equal to 60", id="timeout-too-long"
    ),
]


def refusal(cluster: DevCluster, path: str, kind: str, spec: Json) -> str:
    """Return the message with which the API server refuses an object of this spec."""
    body = {"apiVersion": "twinops.dev/v1alpha1", "kind": kind, "metadata": {"name": "bad"}, "spec": spec}
    with pytest.raises(ApiError) as refused:
        cluster.api.create(f"{path}?dryRun=All&fieldValidation=Strict", body)
    assert refused.value.status in {400, 422}
    text = str(refused.value)
    message: str = json.loads(text[text.index("{") :])["message"]
    return message


@pytest.mark.parametrize(("patch", "telling"), REFUSED_TWINS)
def test_a_bad_twin_is_refused(cluster: DevCluster, twins: str, patch: Json, telling: str) -> None:
    assert telling in refusal(cluster, twins, "DigitalTwin", merged(SPEC, patch))


@pytest.mark.parametrize(("patch", "telling"), REFUSED_SOURCES)
@pytest.mark.usefixtures("definitions")
def test_a_bad_metrics_source_is_refused(cluster: DevCluster, patch: Json, telling: str) -> None:
    path = "/apis/twinops.dev/v1alpha1/metricssources"
    assert telling in refusal(cluster, path, "MetricsSource", merged(SOURCE_SPEC, patch))


def test_a_twin_without_spec_is_refused(cluster: DevCluster, twins: str) -> None:
    with pytest.raises(ApiError, match="spec: Required value"):
        cluster.api.create(
            twins, {"apiVersion": "twinops.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "bad"}}
        )
