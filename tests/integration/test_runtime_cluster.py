"""The adapters around a sync, on the real API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from fakes.telemetry import FakeTelemetry
from support.chart import ROOT
from support.writers import source_writer, twin_writer
from twinops.adapters.clock import SystemClock
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.events import ClusterEvents
from twinops.adapters.kubernetes.sources import ClusterSources
from twinops.adapters.kubernetes.twins import ClusterTwins
from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus
from twinops.api.source.status import MetricsSourceStatus
from twinops.controllers.shared.status_kind import ReadObject
from twinops.controllers.shared.status_writer import WriteOutcome
from twinops.controllers.twin.publish import about
from twinops.core.events import NORMAL, WARNING, Event, InvolvedObject
from twinops.errors import Conflict, NotFound, SourceInvalid, SourceNotFound
from twinops.ports.kubernetes import SourceRef, TwinRef

GROUP = "/apis/twinops.dev/v1alpha1"


@pytest.fixture(scope="session", autouse=True)
def definitions(cluster: DevCluster) -> None:
    """The cluster serves the kinds of ``crds/``."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


@pytest.fixture
async def client(cluster: DevCluster) -> AsyncIterator[KubeClient]:
    client = await KubeClient.connect(str(cluster.kubeconfig))
    yield client
    await client.aclose()


@pytest.fixture
def twin(cluster: DevCluster, namespace: str) -> TwinRef:
    """A twin that nobody syncs."""
    spec = {
        "source": {
            "systemType": "Custom",
            "labels": {"job": "shop"},
            "metrics": [{"name": "queueLength", "query": "vector(1)"}],
        },
        "suspend": True,
    }
    body = {"apiVersion": "twinops.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "shop"}, "spec": spec}
    made = cluster.api.create(f"{GROUP}/namespaces/{namespace}/digitaltwins", body)
    return TwinRef(namespace, "shop", made["metadata"]["uid"])


def version(body: Any) -> str:
    return str(body["metadata"]["resourceVersion"])


async def test_a_status_is_replaced_as_a_whole_and_the_spec_left_alone(client: KubeClient, twin: TwinRef) -> None:
    twins = ClusterTwins(client)
    body = await twins.get(twin)
    first = {"observedGeneration": 1, "healthScore": 80, "summary": {"target": "external"}, "replicas": 3}
    written = await twins.write_status(twin, first, resource_version=version(body))
    assert written["status"] == first
    second = {"observedGeneration": 1, "healthScore": 81}
    written = await twins.write_status(twin, second, resource_version=version(written))
    assert (await twins.get(twin))["status"] == second, "fields that are left out are gone"
    assert written["spec"] == body["spec"]
    assert written["metadata"]["generation"] == body["metadata"]["generation"]
    owners = {(m["manager"], m["operation"], m.get("subresource")) for m in written["metadata"]["managedFields"]}
    assert ("twinops", "Update", "status") in owners


async def test_writes_at_an_old_version_are_refused(client: KubeClient, twin: TwinRef) -> None:
    twins = ClusterTwins(client)
    old = version(await twins.get(twin))
    await twins.set_finalizers(twin, ["twinops.dev/give-back"], resource_version=old)
    with pytest.raises(Conflict):
        await twins.write_status(twin, {"healthScore": 1}, resource_version=old)
    with pytest.raises(Conflict):
        await twins.set_finalizers(twin, [], resource_version=old)
    await twins.set_finalizers(twin, [], resource_version=version(await twins.get(twin)))


async def test_finalizers_are_set_and_taken_off(client: KubeClient, twin: TwinRef) -> None:
    twins = ClusterTwins(client)
    body = await twins.get(twin)
    held = await twins.set_finalizers(twin, ["twinops.dev/give-back"], resource_version=version(body))
    assert held["metadata"]["finalizers"] == ["twinops.dev/give-back"]
    free = await twins.set_finalizers(twin, [], resource_version=version(held))
    assert "finalizers" not in free["metadata"]
    assert free["spec"] == body["spec"]


async def test_a_twin_made_anew_is_another_one(cluster: DevCluster, client: KubeClient, twin: TwinRef) -> None:
    twins = ClusterTwins(client)
    old = await twins.get(twin)
    path = f"{GROUP}/namespaces/{twin.namespace}/digitaltwins"
    cluster.api.delete(f"{path}/{twin.name}")
    with pytest.raises(NotFound):
        await twins.get(twin)
    made = cluster.api.create(
        path,
        {"apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": {"name": twin.name}, "spec": old["spec"]},
    )
    with pytest.raises(NotFound, match="made anew"):
        await twins.get(twin)
    with pytest.raises(Conflict):
        await twins.write_status(twin, {"healthScore": 1}, resource_version=version(made))
    with pytest.raises(Conflict):
        await twins.set_finalizers(twin, ["twinops.dev/give-back"], resource_version=version(old))


async def test_lists_say_what_their_items_are(client: KubeClient, twin: TwinRef) -> None:
    twins = ClusterTwins(client)
    everywhere = await twins.list()
    here = await twins.list([twin.namespace])
    assert [item["metadata"]["uid"] for item in here] == [twin.uid]
    assert twin.uid in {item["metadata"]["uid"] for item in everywhere}
    assert (here[0]["kind"], here[0]["apiVersion"]) == ("DigitalTwin", "twinops.dev/v1alpha1")


async def test_the_writer_outlasts_a_change_of_labels_but_not_of_the_spec(
    cluster: DevCluster, client: KubeClient, twin: TwinRef
) -> None:
    twins = ClusterTwins(client)
    writer = twin_writer(twins, SystemClock(), FakeTelemetry())
    path = f"{GROUP}/namespaces/{twin.namespace}/digitaltwins/{twin.name}"
    body = await twins.get(twin)
    cluster.api.merge(path, {"metadata": {"labels": {"team": "shop"}}})
    written = await writer.write(twin, ReadObject.of(body), lambda: {"healthScore": 70}, material=True, interval=60)
    assert written.written
    assert (await twins.get(twin))["status"]["healthScore"] == 70
    cluster.api.merge(path, {"spec": {"syncFrequencySeconds": 30}})
    assert written.body is not None
    again = await writer.write(
        twin, ReadObject.of(written.body), lambda: {"healthScore": 60}, material=True, interval=60
    )
    assert again.outcome is WriteOutcome.CONFLICT
    refused = await writer.write(
        twin, ReadObject.of(await twins.get(twin)), lambda: {"healthScore": 600}, material=True, interval=60
    )
    assert refused.outcome is WriteOutcome.REFUSED


def source(cluster: DevCluster, name: str, **spec: Any) -> dict[str, Any]:
    body = {
        "apiVersion": "twinops.dev/v1alpha1",
        "kind": "MetricsSource",
        "metadata": {"name": name},
        "spec": {"url": "https://prometheus.monitoring:9090"} | spec,
    }
    return dict(cluster.api.create(f"{GROUP}/metricssources", body))


def secret(cluster: DevCluster, namespace: str, name: str, **data: bytes) -> None:
    body = {"metadata": {"name": name}, "data": {k: base64.b64encode(v).decode() for k, v in data.items()}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/secrets", body)


async def test_a_source_comes_with_its_credentials_and_hides_them(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    ca = cluster.ca_file.read_bytes()
    secret(cluster, namespace, "prom", token=b"s3cret\n", username=b"reader", password=b"pa:ss", **{"ca.crt": ca})
    source(
        cluster,
        f"{namespace}-token",
        auth={"bearerTokenSecretRef": {"name": "prom", "key": "token"}},
        tls={"caSecretRef": {"name": "prom", "key": "ca.crt"}},
    )
    source(cluster, f"{namespace}-basic", auth={"basicAuthSecretRef": {"name": "prom"}})
    sources = ClusterSources(client, SystemClock(), namespace)
    by_token = await sources.access(f"{namespace}-token")
    by_name = await sources.access(f"{namespace}-basic")
    assert (by_token.bearer_token, by_token.basic_auth, by_token.ca_pem) == ("s3cret", None, ca.decode())
    assert (by_name.bearer_token, by_name.basic_auth, by_name.ca_pem) == (None, ("reader", "pa:ss"), None)
    assert by_token.spec.scrape_interval_seconds == 15
    assert "s3cret" not in repr(by_token)
    assert "pa:ss" not in repr(by_name)


async def test_a_source_that_is_missing_or_mended_is_seen(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    sources = ClusterSources(client, SystemClock(), namespace)
    with pytest.raises(SourceNotFound, match=f"{namespace} does not exist.*metricsSourceRef"):
        await sources.access(namespace)
    source(cluster, namespace, auth={"bearerTokenSecretRef": {"name": "prom", "key": "token"}})
    sources.forget(namespace)
    with pytest.raises(SourceInvalid, match=f"Secret {namespace}/prom does not exist: create it with the key token"):
        await sources.access(namespace)
    secret(cluster, namespace, "prom", token=b"s3cret")
    sources.forget(namespace)
    assert (await sources.access(namespace)).bearer_token == "s3cret"  # noqa: S105 - made up


@pytest.mark.parametrize(
    ("auth", "tls", "data", "words"),
    [
        pytest.param(
            {"bearerTokenSecretRef": {"name": "prom", "key": "token"}},
            None,
            {"tokens": b"x"},
            ["key token, is missing: add it"],
            id="key missing",
        ),
        pytest.param(
            {"bearerTokenSecretRef": {"name": "prom", "key": "token"}},
            None,
            {"token": b"\n"},
            ["key token, must hold a bearer token"],
            id="token empty",
        ),
        pytest.param(
            {"bearerTokenSecretRef": {"name": "prom", "key": "token"}},
            None,
            {"token": b"a\r\nHost: evil"},
            ["key token, must hold a bearer token"],
            id="token of two lines",
        ),
        pytest.param(
            {"bearerTokenSecretRef": {"name": "prom", "key": "token"}},
            None,
            {"token": b"\xff\xfe"},
            ["key token, must hold text in UTF-8"],
            id="token no text",
        ),
        pytest.param(
            {"basicAuthSecretRef": {"name": "prom"}},
            None,
            {"username": b"reader"},
            ["key password, is missing: add it"],
            id="password missing",
        ),
        pytest.param(
            {"basicAuthSecretRef": {"name": "prom"}},
            None,
            {"username": b"a:b", "password": b"x"},
            ["key username, must hold a user name"],
            id="colon in the user name",
        ),
        pytest.param(
            None,
            {"caSecretRef": {"name": "prom", "key": "ca"}},
            {"ca": b"no certificate"},
            ["key ca, must hold certificates in PEM form"],
            id="CA is no PEM",
        ),
        pytest.param(
            None, {"caSecretRef": {"name": "prom", "key": "ca"}}, {"ca": b""}, ["key ca, must hold"], id="CA is empty"
        ),
    ],
)
async def test_an_unusable_secret_is_explained(
    cluster: DevCluster,
    client: KubeClient,
    namespace: str,
    auth: dict[str, Any] | None,
    tls: dict[str, Any] | None,
    data: dict[str, bytes],
    words: list[str],
) -> None:
    secret(cluster, namespace, "prom", **data)
    source(cluster, namespace, **({"auth": auth} if auth else {}), **({"tls": tls} if tls else {}))
    with pytest.raises(SourceInvalid) as caught:
        await ClusterSources(client, SystemClock(), namespace).access(namespace)
    message = str(caught.value)
    for word in (f"MetricsSource {namespace}", f"Secret {namespace}/prom", *words):
        assert word in message
    for value in data.values():
        assert not value.strip() or repr(value) not in message


async def test_secrets_of_other_namespaces_are_never_read(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    secret(cluster, "default", f"only-{namespace}", token=b"s3cret")
    source(cluster, namespace, auth={"bearerTokenSecretRef": {"name": f"only-{namespace}", "key": "token"}})
    with pytest.raises(SourceInvalid, match="does not exist"):
        await ClusterSources(client, SystemClock(), namespace).access(namespace)


async def test_a_thousand_twins_ask_the_api_server_once(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    source(cluster, namespace)
    sources = ClusterSources(client, SystemClock(), namespace)
    answers = await asyncio.gather(*(sources.access(namespace) for _ in range(1000)))
    assert len({id(answer) for answer in answers}) == 1


async def test_a_change_during_a_read_is_not_missed(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    source(cluster, namespace)
    sources = ClusterSources(client, SystemClock(), namespace)
    reading = asyncio.create_task(sources.access(namespace))
    await asyncio.sleep(0)
    sources.forget(namespace)
    await reading
    cluster.api.merge(f"{GROUP}/metricssources/{namespace}", {"spec": {"timeoutSeconds": 3}})
    assert (await sources.access(namespace)).spec.timeout_seconds == 3


async def test_a_source_says_whether_it_answers(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    made = source(cluster, namespace)["metadata"]
    ready = Condition(
        type="Ready", status=ConditionStatus.TRUE, reason="Answering", last_transition_time=utc(1_800_000_000)
    )
    status = MetricsSourceStatus(observed_generation=1, conditions=[ready])
    sources = ClusterSources(client, SystemClock(), namespace)
    ref = SourceRef("", namespace, made["uid"])
    await sources.write_status(ref, status.to_wire(), resource_version=made["resourceVersion"])
    assert MetricsSourceStatus.from_wire((await sources.get(ref))["status"]) == status
    with pytest.raises(Conflict):
        await sources.write_status(ref, status.to_wire(), resource_version=made["resourceVersion"])


async def test_a_source_made_anew_is_another_one(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    sources = ClusterSources(client, SystemClock(), namespace)
    old = SourceRef("", namespace, source(cluster, namespace)["metadata"]["uid"])
    cluster.api.delete(f"{GROUP}/metricssources/{namespace}")
    with pytest.raises(NotFound):
        await sources.get(old)
    made = source(cluster, namespace)
    with pytest.raises(NotFound, match="made anew"):
        await sources.get(old)
    with pytest.raises(Conflict):
        await sources.write_status(old, {"observedGeneration": 1}, resource_version=version(made))


async def test_the_writer_treats_a_source_as_it_treats_a_twin(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    sources = ClusterSources(client, SystemClock(), namespace)
    writer = source_writer(sources, SystemClock(), FakeTelemetry())
    path = f"{GROUP}/metricssources/{namespace}"
    body = source(cluster, namespace)
    ref = SourceRef("", namespace, body["metadata"]["uid"])
    cluster.api.merge(path, {"metadata": {"labels": {"team": "shop"}}})
    written = await writer.write(
        ref, ReadObject.of(body), lambda: {"observedGeneration": 1}, material=True, interval=30
    )
    assert written.written
    assert written.body is not None
    cluster.api.merge(path, {"spec": {"timeoutSeconds": 3}})
    again = await writer.write(
        ref, ReadObject.of(written.body), lambda: {"observedGeneration": 2}, material=True, interval=30
    )
    assert again.outcome is WriteOutcome.CONFLICT
    refused = await writer.write(
        ref, ReadObject.of(await sources.get(ref)), lambda: {"observedGeneration": "x"}, material=True, interval=30
    )
    assert refused.outcome is WriteOutcome.REFUSED
    cluster.api.delete(path)
    assert (await writer.write(ref, ReadObject.of(body), dict, material=True, interval=30)).outcome is WriteOutcome.GONE


@pytest.fixture
async def events(client: KubeClient) -> AsyncIterator[ClusterEvents]:
    recorder = ClusterEvents(client, SystemClock(), instance="operator-1")
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def posted(cluster: DevCluster, namespace: str, name: str) -> list[dict[str, Any]]:
    items = cluster.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    return [item for item in items if item["involvedObject"].get("name") == name]


async def test_an_event_is_posted_about_a_twin(
    cluster: DevCluster, client: KubeClient, events: ClusterEvents, twin: TwinRef
) -> None:
    body = await ClusterTwins(client).get(twin)
    events.post(Event(about(body), WARNING, "Drifted", "CPU is at 65% against 50%"))
    await events.drain(10)
    (event,) = posted(cluster, twin.namespace, twin.name)
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Drifted", "CPU is at 65% against 50%")
    assert event["involvedObject"]["kind"] == "DigitalTwin"
    assert event["involvedObject"]["uid"] == twin.uid
    assert (event["reportingComponent"], event["reportingInstance"]) == ("twinops.dev/operator", "operator-1")
    assert event["count"] == 1
    assert "CPU is at 65%" in cluster.kubectl("describe", "digitaltwin", twin.name, "-n", twin.namespace)


async def test_repeats_count_up_and_different_ones_do_not(
    cluster: DevCluster, client: KubeClient, events: ClusterEvents, twin: TwinRef
) -> None:
    body = await ClusterTwins(client).get(twin)
    for _ in range(3):
        events.post(Event(about(body), NORMAL, "Synced", "again"))
    events.post(Event(about(body), NORMAL, "Synced", "another"))
    await events.drain(10)
    counts = {event["message"]: event["count"] for event in posted(cluster, twin.namespace, twin.name)}
    assert counts == {"again": 3, "another": 1}


async def test_a_repeat_of_an_event_that_expired_is_posted_anew(
    cluster: DevCluster, client: KubeClient, events: ClusterEvents, twin: TwinRef
) -> None:
    body = await ClusterTwins(client).get(twin)
    events.post(Event(about(body), NORMAL, "Synced", "again"))
    await events.drain(10)
    (first,) = posted(cluster, twin.namespace, twin.name)
    cluster.api.delete(f"/api/v1/namespaces/{twin.namespace}/events/{first['metadata']['name']}")
    events.post(Event(about(body), NORMAL, "Synced", "again"))
    await events.drain(10)
    (second,) = posted(cluster, twin.namespace, twin.name)
    assert second["count"] == 1


async def test_long_messages_cluster_scoped_objects_and_references_are_accepted(
    cluster: DevCluster, events: ClusterEvents, namespace: str
) -> None:
    uid = source(cluster, namespace)["metadata"]["uid"]
    made = InvolvedObject("twinops.dev/v1alpha1", "MetricsSource", namespace, uid=uid)
    events.post(Event(made, WARNING, "Unreachable", "x" * 5000))
    reference = InvolvedObject("apps/v1", "Deployment", "shop", namespace, "u")
    events.post(Event(reference, NORMAL, "Corrected", "minReplicas 2 → 3"))
    await events.drain(10)
    (about_source,) = posted(cluster, "default", namespace)
    assert len(about_source["message"]) == 1024
    assert len(posted(cluster, namespace, "shop")) == 1


async def test_events_about_a_namespace_that_is_gone_are_let_go(
    cluster: DevCluster, events: ClusterEvents, namespace: str
) -> None:
    lost = InvolvedObject("apps/v1", "Deployment", "a", "no-such-namespace", "u")
    kept = InvolvedObject("apps/v1", "Deployment", "b", namespace, "v")
    events.post(Event(lost, NORMAL, "Corrected", "lost"))
    events.post(Event(kept, NORMAL, "Corrected", "kept"))
    await events.drain(10)
    (event,) = posted(cluster, namespace, "b")
    assert datetime.fromisoformat(event["lastTimestamp"]).tzinfo is not None
