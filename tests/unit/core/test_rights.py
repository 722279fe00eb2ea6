"""Which right is missing, where, and which value of the chart gives it."""

from __future__ import annotations

import pytest

from twinops.core.rights import refusal

ROLLOUTS = "add {apiGroups: [argoproj.io], resources: [rollouts], verbs: [get, list, watch]} to rbac.extraObserveRules"
OWN = "the chart grants that with rbac.create: true, in every namespace of watchNamespaces"


@pytest.mark.parametrize(
    ("request_", "right", "remedy"),
    [
        pytest.param(
            "GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout",
            "get rollouts.argoproj.io in namespace shop",
            ROLLOUTS,
            id="a kind the chart does not know",
        ),
        pytest.param(
            "GET /apis/apps/v1/namespaces/shop/deployments/checkout",
            "get deployments.apps in namespace shop",
            OWN,
            id="one it knows",
        ),
        pytest.param(
            "GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout/scale",
            "get rollouts.argoproj.io/scale in namespace shop",
            OWN,
            id="any scale",
        ),
        pytest.param(
            "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers",
            "list horizontalpodautoscalers.autoscaling in namespace shop",
            OWN,
            id="a list",
        ),
        pytest.param(
            "GET /apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects", "list scaledobjects.keda.sh", OWN, id="KEDA"
        ),
        pytest.param(
            "GET /api/v1/namespaces/shop/pods?labelSelector=a",
            "list pods in namespace shop",
            "rbac.readPods",
            id="pods",
        ),
        pytest.param(
            "GET /apis/argoproj.io/v1alpha1",
            "get",
            "get on /apis/argoproj.io/v1alpha1, as the ClusterRole",
            id="what is served",
        ),
        pytest.param(
            "GET /apis/twinops.dev/v1alpha1/metricssources/default",
            "get metricssources.twinops.dev",
            OWN,
            id="cluster-wide",
        ),
        pytest.param(
            "GET /api/v1/namespaces/twinops-system/secrets/token", "get secrets", "rbac.secretNames", id="a Secret"
        ),
        pytest.param(
            "PATCH /apis/apps/v1/namespaces/shop/deployments/checkout",
            "patch deployments.apps",
            "verbs: [patch]} to rbac.extraCorrectRules",
            id="a write",
        ),
        pytest.param(
            "GET /apis/evil%1B%5B31m.io/v1/namespaces/shop/things/one",
            "get things.evil%1B%5B31m.io in namespace shop",
            "rbac.extraObserveRules",
            id="escapes stay escaped",
        ),
        pytest.param("what is this", "the API server is forbidden", "grant it the right", id="not a request"),
    ],
)
def test_a_missing_right_is_named(request_: str, right: str, remedy: str) -> None:
    told = refusal(f'{request_}: 403 User "system:serviceaccount:twinops-system:twinops" cannot', 403)
    assert (told.reason, told.lasting) == ("Forbidden", True)
    assert right in told.message
    assert remedy in told.message
    assert "serviceaccount" not in told.message, "what the API server said is not for a twin's author"


@pytest.mark.parametrize(
    ("status", "reason", "lasting"),
    [
        pytest.param(400, "RequestRefused", True, id="400"),
        pytest.param(401, "Unauthorized", False, id="401: a token may just have run out"),
        pytest.param(422, "RequestRefused", True, id="422"),
        pytest.param(429, "ClusterUnavailable", False, id="429"),
        pytest.param(503, "ClusterUnavailable", False, id="503"),
        pytest.param(0, "ClusterUnavailable", False, id="no answer"),
    ],
)
def test_what_else_an_api_server_may_say(status: int, reason: str, *, lasting: bool) -> None:
    told = refusal("GET /apis/apps/v1/namespaces/shop/deployments/checkout: because", status)
    assert (told.reason, told.lasting) == (reason, lasting)
    assert "because" not in told.message
