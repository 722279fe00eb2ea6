"""What the chart renders. That it installs is shown in tests/integration/api/test_helm.py."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.binaries import Binaries
from support.chart import CHART, KUBE_VERSION, ROOT, before_removal, render
from twinops import __version__
from twinops.api.crdgen import crds
from twinops.settings import PREFIX, Settings

Json = dict[str, Any]

URL = "http://prometheus:9090"


@pytest.fixture(scope="session")
def helm() -> Path:
    return Binaries().path("helm")


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    """Return what stays as long as the chart is installed."""
    return [one for one in objects if one["kind"] == kind and not before_removal(one)]


def removing(objects: list[Json], kind: str) -> list[Json]:
    """Return what is there only while the chart is removed, as if it were there always."""
    found = [one for one in objects if one["kind"] == kind and before_removal(one)]
    return [one | {"metadata": one["metadata"] | {"annotations": {}}} for one in found]


def rights(objects: list[Json], kind: str, part: str) -> set[tuple[str, str, str, str]]:
    """Return (group, resource, name, verb) for every right of the roles of one part."""
    return {
        (group, resource, name, verb)
        for role in of_kind(objects, kind)
        if role["metadata"]["name"].endswith(f"-{part}")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def written(objects: list[Json]) -> set[tuple[str, str]]:
    """Return (resource, verb) for every right to write, of any role."""
    return {
        (resource, verb)
        for kind in ("Role", "ClusterRole")
        for role in of_kind(objects, kind)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in {"get", "list", "watch"}
    }


def test_the_linter_is_content(helm: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own helm
        [helm, "lint", "--strict", CHART, "--kube-version", KUBE_VERSION, "--set", f"metricsSource.url={URL}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_chart_carries_the_generated_definitions(helm: Path) -> None:
    rendered = {one["metadata"]["name"]: one for one in of_kind(render(helm, "r", "n"), "CustomResourceDefinition")}
    for definition in crds():
        found = rendered.pop(definition["metadata"]["name"])
        assert found["spec"] == definition["spec"]
        assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert rendered == {}


def test_definitions_can_be_left_out_and_need_not_be_kept(helm: Path) -> None:
    assert of_kind(render(helm, "r", "n", {"crds": {"enabled": False}}), "CustomResourceDefinition") == []
    for one in of_kind(render(helm, "r", "n", {"crds": {"keep": False}}), "CustomResourceDefinition"):
        assert "annotations" not in one["metadata"]


def test_observing_writes_nothing_but_twins_and_events(helm: Path) -> None:
    granted = written(render(helm, "r", "n", {"rbac": {"correct": False}}))
    assert granted == {
        ("digitaltwins", "patch"),
        ("digitaltwins/status", "update"),
        ("metricssources/status", "update"),
        ("events", "create"),
        ("events", "patch"),
        ("leases", "create"),
        ("leases", "update"),
    }


def test_correcting_adds_two_rights(helm: Path) -> None:
    assert rights(render(helm, "r", "n"), "ClusterRole", "correct") == {
        ("autoscaling", "horizontalpodautoscalers", "", "patch"),
        ("*", "*/scale", "", "patch"),
    }


@pytest.mark.parametrize(("values", "read"), [({}, {"list", "watch"}), ({"rbac": {"readPods": False}}, set())])
def test_pods_are_read_unless_that_is_not_wanted(helm: Path, values: Json, read: set[str]) -> None:
    granted = rights(render(helm, "r", "n", values), "ClusterRole", "observe")
    assert {verb for group, resource, _, verb in granted if (group, resource) == ("", "pods")} == read


def test_secrets_and_leases_are_the_own_namespaces(helm: Path) -> None:
    objects = render(helm, "r", "own", {"rbac": {"secretNames": ["thanos-access"]}})
    assert rights(objects, "Role", "operator") == {
        ("coordination.k8s.io", "leases", "", "create"),
        ("coordination.k8s.io", "leases", "r-twinops", "get"),
        ("coordination.k8s.io", "leases", "r-twinops", "update"),
        ("", "secrets", "thanos-access", "get"),
    }
    assert [role["metadata"]["namespace"] for role in of_kind(objects, "Role")] == ["own"]
    everywhere = {
        resource
        for part in ("observe", "correct", "sources")
        for _, resource, *_ in rights(objects, "ClusterRole", part)
    }
    assert not everywhere & {"secrets", "leases", "*"}


def test_watching_some_namespaces_gives_a_role_in_each(helm: Path) -> None:
    objects = render(helm, "r", "own", {"watchNamespaces": ["shop", "pay"]})
    places = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in of_kind(objects, "Role")}
    assert places == {
        ("own", "r-twinops-operator"),
        ("shop", "r-twinops-observe"),
        ("shop", "r-twinops-correct"),
        ("pay", "r-twinops-observe"),
        ("pay", "r-twinops-correct"),
    }
    # MetricsSources are cluster-scoped; nothing else is read across the cluster.
    assert [role["metadata"]["name"] for role in of_kind(objects, "ClusterRole")] == ["r-twinops-sources"]


def test_every_role_is_bound_to_the_service_account(helm: Path) -> None:
    objects = render(helm, "r", "own", {"watchNamespaces": ["shop"], "serviceAccount": {"name": "twins"}})
    for kind in ("Role", "ClusterRole"):
        roles = {(role["metadata"].get("namespace"), role["metadata"]["name"]) for role in of_kind(objects, kind)}
        bindings = of_kind(objects, f"{kind}Binding")
        assert {(one["metadata"].get("namespace"), one["roleRef"]["name"]) for one in bindings} == roles
        for one in bindings:
            assert one["subjects"] == [{"kind": "ServiceAccount", "name": "twins", "namespace": "own"}]
            assert one["roleRef"]["kind"] == kind


def test_the_pod_is_restricted(helm: Path) -> None:
    pod = of_kind(render(helm, "r", "n"), "Deployment")[0]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_the_operator_understands_every_variable_it_is_given(helm: Path) -> None:
    operator = {"logFormat": "console", "statusWritesPerSecond": 12.5, "oneShotManagers": ["deploy-bot", "ci-*"]}
    values = {"watchNamespaces": ["shop", "pay"], "operator": operator}
    deployment = of_kind(render(helm, "r", "n", values), "Deployment")[0]
    variables = {
        one["name"]: one.get("value", "own") for one in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= set(Settings.model_fields)
    settings = Settings.from_env(variables)
    assert settings.namespace == "own"
    assert settings.watch_namespaces == ("shop", "pay")
    assert settings.lease_name == "r-twinops"
    assert settings.listen_port == 8080
    assert (settings.log_format, settings.status_writes_per_second) == ("console", 12.5)
    assert settings.one_shot_managers == ("deploy-bot", "ci-*")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        pytest.param({}, [], id="no-address-no-source"),
        pytest.param({"metricsSource": {"url": URL, "create": False}}, [], id="not-wanted"),
        pytest.param({"metricsSource": {"url": URL}}, ["default"], id="default"),
        pytest.param({"metricsSource": {"url": URL, "name": "thanos"}}, ["thanos"], id="named"),
    ],
)
def test_the_metrics_source(helm: Path, values: Json, names: list[str]) -> None:
    sources = of_kind(render(helm, "r", "n", values), "MetricsSource")
    assert [one["metadata"]["name"] for one in sources] == names


def test_a_metrics_source_waits_for_its_kind(helm: Path) -> None:
    values = {"metricsSource": {"url": URL, "extraSpec": {"headers": {"X-Scope-OrgID": "shop"}}}}
    first = of_kind(render(helm, "r", "n", values), "MetricsSource")[0]
    later = of_kind(
        render(helm, "r", "n", values, "--api-versions", "twinops.dev/v1alpha1/MetricsSource"), "MetricsSource"
    )[0]
    assert first["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    assert "annotations" not in later["metadata"]
    assert (
        first["spec"]
        == later["spec"]
        == {
            "url": URL,
            "scrapeIntervalSeconds": 15,
            "timeoutSeconds": 10,
            "headers": {"X-Scope-OrgID": "shop"},
        }
    )


@pytest.mark.parametrize(
    ("values", "telling"),
    [
        pytest.param({"replica": 2}, "replica", id="misspelt"),
        pytest.param({"watchNamespaces": "shop"}, "watchNamespaces", id="no-list"),
        pytest.param({"watchNamespaces": ["Shop"]}, "watchNamespaces", id="no-namespace-name"),
        pytest.param({"metricsSource": {"url": "prometheus:9090"}}, "url", id="address-without-scheme"),
        pytest.param({"metricsSource": {"url": "http://u:p@prometheus"}}, "url", id="address-with-credentials"),
        pytest.param({"operator": {"logFormat": "xml"}}, "logFormat", id="unknown-log-format"),
        pytest.param(
            {"rbac": {"extraObserveRules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]}},
            "verbs",
            id="observing-never-writes",
        ),
    ],
)
def test_bad_values_are_refused(helm: Path, values: Json, telling: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(helm, "r", "n", values)
    assert telling in refused.value.stderr


def test_the_schema_of_values_knows_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def missing(given: Json, known: Json, path: str) -> list[str]:
        return [
            hole
            for name, value in given.items()
            for hole in (
                [f"{path}{name}"]
                if name not in known["properties"]
                else missing(value, known["properties"][name], f"{path}{name}.")
                if isinstance(value, dict) and "properties" in known["properties"][name]
                else []
            )
        ]

    assert missing(values, schema, "") == []


def test_the_readme_names_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, value in values.items():
        whole = name in {"resources", "affinity", "nodeSelector", "podAnnotations", "podLabels"}
        below = value if isinstance(value, dict) and value and not whole else {}
        for path in [f"{name}.{key}" for key in below] or [name]:
            assert f"`{path}`" in readme, path


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


def test_chart_and_image_agree_on_the_user() -> None:
    assert "\nUSER 65532:65532\n" in (ROOT / "Dockerfile").read_text()


GIVING_BACK = {
    ("twinops.dev", "digitaltwins", "", "get"),
    ("twinops.dev", "digitaltwins", "", "list"),
    ("twinops.dev", "digitaltwins", "", "patch"),
    ("twinops.dev", "digitaltwins/status", "", "update"),
    ("apps", "deployments", "", "get"),
    ("apps", "statefulsets", "", "get"),
    ("autoscaling", "horizontalpodautoscalers", "", "get"),
    ("autoscaling", "horizontalpodautoscalers", "", "list"),
    ("autoscaling", "horizontalpodautoscalers", "", "patch"),
    ("autoscaling", "horizontalpodautoscalers", "", "watch"),
    ("keda.sh", "scaledobjects", "", "list"),
    ("keda.sh", "scaledobjects", "", "watch"),
    ("*", "*/scale", "", "get"),
    ("*", "*/scale", "", "patch"),
    ("", "events", "", "create"),
    ("", "events", "", "patch"),
}
STOPPING = {
    ("coordination.k8s.io", "leases", "", "create"),
    ("coordination.k8s.io", "leases", "r-twinops", "get"),
    ("coordination.k8s.io", "leases", "r-twinops", "update"),
    ("apps", "deployments/scale", "r-twinops", "get"),
    ("apps", "deployments/scale", "r-twinops", "patch"),
}


def test_before_it_is_removed_everything_is_given_back(helm: Path) -> None:
    objects = render(helm, "r", "own", {"uninstall": {"deadlineSeconds": 90}})
    (job,) = removing(objects, "Job")
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["uninstall", "--deployment=r-twinops", "--deadline=90"]
    assert job["spec"]["activeDeadlineSeconds"] > 90
    deployment = of_kind(objects, "Deployment")[0]
    operator = deployment["spec"]["template"]["spec"]
    for part in ("securityContext",):
        assert pod[part] == operator[part]
        assert pod["containers"][0][part] == operator["containers"][0][part]
    assert pod["containers"][0]["image"] == operator["containers"][0]["image"]
    assert deployment["metadata"]["name"] == "r-twinops"
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items(), "no pod of the Deployment's"
    assert {variable["name"] for variable in pod["containers"][0]["env"]} == {
        "TWINOPS_NAMESPACE",
        "TWINOPS_WATCH_NAMESPACES",
        "TWINOPS_LEASE_NAME",
    }


@pytest.mark.parametrize(("namespaces", "kind"), [([], "ClusterRole"), (["shop"], "Role")])
def test_what_removes_it_has_rights_of_its_own_and_no_more(helm: Path, namespaces: list[str], kind: str) -> None:
    objects = render(helm, "r", "own", {"watchNamespaces": namespaces})
    assert [one["metadata"]["name"] for one in removing(objects, "ServiceAccount")] == ["r-twinops-uninstall"]
    assert rights(removing(objects, kind), kind, "uninstall") == GIVING_BACK
    assert rights(removing(objects, "Role"), "Role", "operator") == STOPPING
    for binding in [*removing(objects, "RoleBinding"), *removing(objects, "ClusterRoleBinding")]:
        assert [one["name"] for one in binding["subjects"]] == ["r-twinops-uninstall"]
    (job,) = removing(objects, "Job")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "r-twinops-uninstall"


@pytest.mark.parametrize(
    ("values", "account"),
    [
        pytest.param({"uninstall": {"serviceAccountName": "mine"}}, "mine", id="named"),
        pytest.param({"rbac": {"create": False}}, "r-twinops", id="the-operators"),
    ],
)
def test_what_removes_it_can_run_as_another(helm: Path, values: Json, account: str) -> None:
    objects = render(helm, "r", "own", values)
    (job,) = removing(objects, "Job")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == account
    for kind in ("ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        assert removing(objects, kind) == []


def test_giving_back_can_be_left_to_a_person(helm: Path) -> None:
    objects = render(helm, "r", "own", {"uninstall": {"giveBack": False}})
    assert [one for one in objects if before_removal(one)] == []
