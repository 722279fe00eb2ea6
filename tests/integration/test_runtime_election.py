"""Two candidates on the real API server: never two leaders, and a quick hand-over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime

import pytest

from devcluster.cluster import DevCluster
from fakes.telemetry import FakeTelemetry
from twinops.adapters.clock import SystemClock
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.leases import ClusterLeases
from twinops.controllers.shared.lease import JITTER, ElectionTimes, Elector
from twinops.errors import Conflict, LeadershipLost, NotFound
from twinops.ports.kubernetes import LeaseRecord

TIMES = ElectionTimes(lease_duration=3, renew_deadline=2.0, retry_period=0.3, request_timeout=0.9)
"""As in production, five times as fast."""

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/twinops"


@pytest.fixture
async def client(cluster: DevCluster) -> AsyncIterator[KubeClient]:
    client = await KubeClient.connect(str(cluster.kubeconfig))
    yield client
    await client.aclose()


class Candidate:
    """An elector and its task."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        leases = ClusterLeases(client, namespace, "twinops")
        self.elector = Elector(leases, SystemClock(), FakeTelemetry(), TIMES, identity=name)
        self.task = asyncio.create_task(self.elector.run())

    @property
    def may_write(self) -> bool:
        try:
            self.elector.fence()
        except LeadershipLost:
            return False
        return True

    async def crash(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def seconds_until(condition: Callable[[], bool], *, never: Callable[[], bool], within: float = 20.0) -> float:
    began = time.monotonic()
    async with asyncio.timeout(within):
        while not condition():
            assert not never(), "two leaders"
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_lease_is_written_as_kubernetes_wants_it(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    leases = ClusterLeases(client, namespace, "twinops")
    with pytest.raises(NotFound):
        await leases.get()
    record = LeaseRecord("me", 15, 1_800_000_000.25, 1_800_000_001.5, 3)
    made = await leases.create(record)
    assert (await leases.get()) == made
    assert (made.holder, made.acquire_time, made.renew_time, made.transitions) == (
        "me",
        1_800_000_000.25,
        1_800_000_001.5,
        3,
    )
    assert cluster.api.get(LEASES.format(namespace))["spec"]["renewTime"] == "2027-01-15T08:00:01.500000Z"
    with pytest.raises(Conflict):
        await leases.create(record)
    await leases.replace(made)
    with pytest.raises(Conflict):
        await leases.replace(LeaseRecord("other", 15, None, None, 4, "1"))
    emptied = await leases.replace(LeaseRecord("", 1, None, None, 3, (await leases.get()).resource_version))
    assert (emptied.holder, emptied.renew_time) == ("", None)


async def test_a_crash_hands_over_and_never_are_there_two(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    a, b = Candidate(client, namespace, "a"), Candidate(client, namespace, "b")

    def two() -> bool:
        return a.may_write and b.may_write

    await seconds_until(lambda: a.may_write or b.may_write, never=two)
    leader, standby = (a, b) if a.may_write else (b, a)
    before = time.monotonic()
    await seconds_until(lambda: time.monotonic() > before + TIMES.lease_duration, never=two)
    assert leader.may_write
    await leader.crash()
    # A wait of the standby, the duration of the lease, its jitter, and two requests.
    latest = TIMES.lease_duration + (1 + 2 * JITTER) * TIMES.retry_period + 2 * TIMES.request_timeout
    assert await seconds_until(lambda: standby.may_write, never=two) <= latest
    spec = cluster.api.get(LEASES.format(namespace))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == (standby.elector._identity, 1)
    assert datetime.fromisoformat(spec["renewTime"]) >= datetime.fromisoformat(spec["acquireTime"])
    await standby.crash()


async def test_a_release_hands_over_at_once(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    a = Candidate(client, namespace, "a")
    await seconds_until(lambda: a.may_write, never=lambda: False)
    b = Candidate(client, namespace, "b")
    await a.crash()
    await a.elector.release()
    assert not a.may_write
    assert await seconds_until(lambda: b.may_write, never=lambda: a.may_write) < TIMES.lease_duration
    assert cluster.api.get(LEASES.format(namespace))["spec"]["holderIdentity"] == "b"
    await b.crash()


async def test_a_leader_stops_while_the_api_server_hangs_and_leads_again_only_anew(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    a = Candidate(client, namespace, "a")
    await seconds_until(lambda: a.may_write, never=lambda: False)
    cluster.apiserver.pause()
    try:
        took = await seconds_until(lambda: not a.may_write, never=lambda: False)
        # Seen at the next look only; on a machine with more to do that may come late.
        assert took <= TIMES.renew_deadline + 0.25 < TIMES.lease_duration
        await asyncio.wait_for(a.elector.lost.wait(), 5)
    finally:
        cluster.apiserver.resume()
    await asyncio.wait_for(a.task, 5)
    assert not a.may_write
    again = Candidate(client, namespace, "a-restarted")
    await seconds_until(lambda: again.may_write, never=lambda: a.may_write)
    await again.crash()
