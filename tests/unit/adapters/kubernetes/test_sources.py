"""MetricsSources are read once for all who ask at the same time, whatever comes of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.sources import TTL_SECONDS, ClusterSources
from twinops.errors import NotFound, SourceNotFound, TwinOpsError, Unavailable

TIMEOUT = 10.0


class Server:
    """Answers after a while."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: TwinOpsError | None = None
        self.url = "http://first:9090"

    async def get(self, path: str) -> dict[str, Any]:
        assert path.endswith("/metricssources/default")
        self.asked += 1
        url = self.url
        await asyncio.sleep(TIMEOUT)
        if self.failure is not None:
            raise self.failure
        return {"spec": {"url": url}}

    def sources(self) -> ClusterSources:
        return ClusterSources(cast("KubeClient", self), FakeClock(), "twinops-system")


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        pytest.param(Unavailable("no answer", status=503, retry_after=7.0), Unavailable, id="API server hangs"),
        pytest.param(NotFound("gone", status=404), SourceNotFound, id="no such source"),
    ],
)
def test_a_failure_is_shared_by_all_who_wait_for_it(failure: TwinOpsError, raised: type[TwinOpsError]) -> None:
    @in_fake_time
    async def scene() -> None:
        server = Server()
        server.failure = failure
        sources = server.sources()
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(sources.access("default") for _ in range(500)), return_exceptions=True)
        assert asyncio.get_running_loop().time() - began == pytest.approx(TIMEOUT)
        assert server.asked == 1
        assert {type(answer) for answer in answers} == {raised}
        assert len({id(answer) for answer in answers}) == 500
        if isinstance(answers[0], Unavailable):
            assert (answers[0].status, answers[0].retry_after) == (503, 7.0)

    scene()


@in_fake_time
async def test_an_answer_is_kept_for_a_while() -> None:
    server = Server()
    sources = server.sources()
    await asyncio.gather(*(sources.access("default") for _ in range(50)))
    await asyncio.sleep(TTL_SECONDS - TIMEOUT - 1)
    await sources.access("default")
    assert server.asked == 1
    await asyncio.sleep(2)
    await sources.access("default")
    assert server.asked == 2


@in_fake_time
async def test_what_changed_while_it_was_read_is_read_again() -> None:
    server = Server()
    sources = server.sources()
    early = asyncio.create_task(sources.access("default"))
    await asyncio.sleep(1)
    server.url = "http://second:9090"
    sources.forget("default")
    assert (await sources.access("default")).spec.url == "http://second:9090"
    await early
    assert (await sources.access("default")).spec.url == "http://second:9090"
    assert server.asked == 2


@in_fake_time
async def test_one_who_stops_waiting_takes_the_answer_from_nobody() -> None:
    server = Server()
    sources = server.sources()
    first = asyncio.create_task(sources.access("default"))
    second = asyncio.create_task(sources.access("default"))
    await asyncio.sleep(1)
    first.cancel()
    assert (await second).spec.url == "http://first:9090"
