"""What is kept of a collection while the API server lists, watches, breaks off and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from fakes.clock import FakeClock, in_fake_time, until
from fakes.kube_collection import FakeCollection, Json, thing, unreachable
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.reflector import (
    DOUBTED_REFUSALS,
    GRACE_SECONDS,
    REFUSED_SECONDS,
    Reflector,
    version_of,
)
from twinops.errors import NotFound, Refused, Unavailable

FORBIDDEN = Refused("GET /things: 403 forbidden", status=403)
GONE = Unavailable("WATCH /things: 410 too old", status=410)


@dataclass(frozen=True)
class Kept:
    namespace: str
    name: str
    version: int
    size: int


def keep(body: Json) -> Kept:
    meta = body["metadata"]
    return Kept(meta["namespace"], meta["name"], version_of(body), body["size"])


@dataclass
class Scene:
    """A reflector that runs, and what it has told."""

    server: FakeCollection
    told: list[tuple[Any, Any, bool]] = field(default_factory=list)
    reflector: Reflector[Kept] = field(init=False)

    def __post_init__(self) -> None:
        self.reflector = Reflector(
            cast("KubeClient", self.server),
            "/things",
            FakeClock(),
            keep=keep,
            changed=lambda before, now, first: self.told.append(
                (before and (before.name, before.size), now and (now.name, now.size), first)
            ),
        )

    @property
    def sizes(self) -> dict[str, int]:
        return {one.name: one.size for one in self.reflector}


@asynccontextmanager
async def running(server: FakeCollection) -> AsyncIterator[Scene]:
    scene = Scene(server)
    task = asyncio.create_task(scene.reflector.run())
    try:
        await scene.reflector.settled.wait()
        await asyncio.sleep(0.1)
        yield scene
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@in_fake_time
async def test_what_is_there_comes_page_by_page_and_changes_follow() -> None:
    server = FakeCollection(*(thing(f"t{n}", n + 1, size=n) for n in range(5)), page=2)
    async with running(server) as scene:
        assert scene.sizes == {f"t{n}": n for n in range(5)}
        assert all(first for *_, first in scene.told)
        assert server.watches == ["5"]
        scene.told.clear()

        server.put(thing("t1", 6, size=10))
        server.put(thing("new", 7, size=1))
        server.remove("t0", 8)
        await asyncio.sleep(0.1)

        assert scene.told == [(("t1", 1), ("t1", 10), False), (None, ("new", 1), False), (("t0", 0), None, False)]
        assert scene.reflector.current
        assert len(server.lists) == 1


@in_fake_time
async def test_a_watch_that_ends_goes_on_from_the_last_bookmark() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        server.send("BOOKMARK", {"metadata": {"resourceVersion": "40"}})
        await asyncio.sleep(5)
        server.cut()
        await until(lambda: len(server.watches) > 1)
        assert server.watches[-1] == "40"
        assert len(server.lists) == 1
        assert scene.reflector.current


@in_fake_time
async def test_too_old_a_version_is_listed_anew_and_what_went_meanwhile_is_told() -> None:
    server = FakeCollection(thing("a", 1, size=1), thing("b", 2, size=2))
    async with running(server) as scene:
        scene.told.clear()
        del server.objects["a"]
        server.objects["c"] = thing("c", 9, size=3)
        server.version = 9
        server.cut(GONE)
        await until(lambda: len(server.watches) > 1)

        assert scene.told == [(("a", 1), None, False), (None, ("c", 3), False)]
        assert server.watches[-1] == "9"
        assert scene.reflector.current


@in_fake_time
async def test_a_server_that_is_away_is_asked_less_and_less_often_and_what_is_known_stays() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        server.failing = unreachable()
        server.cut(unreachable())
        await asyncio.sleep(GRACE_SECONDS / 2)
        assert scene.reflector.current, "what may have been missed is young"
        await asyncio.sleep(GRACE_SECONDS)
        assert not scene.reflector.current
        assert scene.sizes == {"a": 1}
        await asyncio.sleep(600)
        attempts = len(server.watches)
        assert attempts < 60
        assert len(server.lists) == 1, "a cut is no reason to list"

        server.failing = None
        await until(lambda: scene.reflector.current, within=40)
        server.put(thing("a", 2, size=2))
        await asyncio.sleep(0.1)
        assert scene.sizes == {"a": 2}


@in_fake_time
async def test_a_missing_right_is_asked_for_rarely_and_found_when_it_is_given() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    server.failing = FORBIDDEN
    async with running(server) as scene:
        assert scene.reflector.forbidden is FORBIDDEN
        assert not scene.reflector.current
        await asyncio.sleep(3600)
        assert len(server.lists) <= DOUBTED_REFUSALS + 3600 / (REFUSED_SECONDS / 2) + 1

        server.failing = None
        await until(lambda: scene.reflector.current, within=REFUSED_SECONDS + 1)
        assert scene.reflector.forbidden is None
        assert scene.sizes == {"a": 1}


@in_fake_time
async def test_a_right_that_is_taken_away_is_noticed() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        server.failing = FORBIDDEN
        server.cut()
        await until(lambda: scene.reflector.failure is not None)
        assert not scene.reflector.current


@in_fake_time
async def test_a_right_to_watch_alone_missing_does_not_forbid_lists() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    server.watch_failing = FORBIDDEN
    async with running(server) as scene:
        assert not scene.reflector.current
        assert scene.reflector.forbidden is None
        await asyncio.sleep(3600)
        assert len(server.lists) <= DOUBTED_REFUSALS + 3600 / (REFUSED_SECONDS / 2) + 1


@in_fake_time
async def test_a_kind_that_is_not_served_may_be_installed_later() -> None:
    server = FakeCollection()
    server.failing = NotFound("GET /things: 404", status=404)
    async with running(server) as scene:
        assert isinstance(scene.reflector.failure, NotFound)
        server.failing = None
        await until(lambda: scene.reflector.current, within=61)


@pytest.mark.parametrize(
    "broken", [{"metadata": {}}, {"metadata": {"namespace": "shop", "name": "x"}, "size": None}, {}]
)
@in_fake_time
async def test_an_object_that_cannot_be_read_is_left_out(broken: Json) -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        server.send("ADDED", broken if "size" in broken else {**broken, "nothing": 1})
        server.put(thing("b", 3, size=2))
        await asyncio.sleep(0.1)
        assert scene.sizes.items() >= {"a": 1, "b": 2}.items()
        assert scene.reflector.current


@in_fake_time
async def test_what_was_read_live_is_not_undone_by_an_older_event() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        scene.reflector.take(thing("a", 5, size=5))
        server.put(thing("a", 4, size=4))
        await asyncio.sleep(0.1)
        assert scene.sizes == {"a": 5}
        server.put(thing("a", 6, size=6))
        await asyncio.sleep(0.1)
        assert scene.sizes == {"a": 6}


@in_fake_time
async def test_watches_that_end_at_once_do_not_spin() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server):
        before = len(server.watches)
        for _ in range(200):
            server.cut()
        await asyncio.sleep(60)
        assert len(server.watches) - before < 20


@in_fake_time
async def test_what_was_read_live_just_before_it_was_deleted_does_not_come_back() -> None:
    """The answer to a read and the event about the deletion come over two connections, in any order."""
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        server.remove("a", 8)
        await asyncio.sleep(0.1)
        scene.reflector.take(thing("a", 7, size=5))
        assert scene.sizes == {}
        scene.reflector.take(thing("a", 9, size=6))
        assert scene.sizes == {"a": 6}, "made anew since"


@in_fake_time
async def test_a_watch_that_the_server_ends_after_a_quiet_time_leaves_nothing_in_doubt() -> None:
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        await asyncio.sleep(60)
        assert scene.reflector.current
        server.cut()
        while len(server.watches) < 2:
            await asyncio.sleep(0)
            assert scene.reflector.current, "everything had come by the end of the answer"


@in_fake_time
async def test_an_api_server_that_refuses_while_it_starts_is_asked_again_soon() -> None:
    """Before it knows its roles it answers 403 to everybody."""
    server = FakeCollection(thing("a", 1, size=1))
    async with running(server) as scene:
        server.failing = FORBIDDEN
        server.cut(unreachable())
        await asyncio.sleep(5)
        assert scene.reflector.forbidden is not None
        server.failing = None
        await until(lambda: scene.reflector.current, within=10)
        assert scene.reflector.forbidden is None
