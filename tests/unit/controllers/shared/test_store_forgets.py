"""Whatever happens to twins, and in whatever order: of one that is gone nothing remains anywhere."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import gc
import types
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fakes.clock import START, FakeClock, in_fake_time
from fakes.levers import FakeLevers
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.correcting import HPA, KUBECTL, hpa, observation
from support.writers import twin_writer
from twinops.api import SYNC_REQUESTED_ANNOTATION
from twinops.controllers.shared.pacing import FirstSyncs
from twinops.controllers.shared.resync import Resync
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.sync_loop import FINISH_SECONDS, SyncLoop
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.observe import Observed, Observer
from twinops.controllers.twin.publish import Publisher
from twinops.controllers.twin.sync import SyncService
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.core.events import Event
from twinops.errors import MetricsUnavailable, Refused, Unavailable
from twinops.ports.kubernetes import TwinRef

SPEC = {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}, "limits": {"cpuUsage": 95}}
FAULTS = (None, RuntimeError("a defect"), MetricsUnavailable("no answer"), Unavailable("no answer"), None)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in the loop: fake time would not wait for a thread."""

    async def inline(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", inline)


class Operator:
    """All that keeps something of a twin, and a cluster with twins of the names a and b."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.twins, self.telemetry, self.store = FakeTwins(), FakeTelemetry(), TwinStore()
        self.levers, self.fault = FakeLevers(hpa(2, KUBECTL)), 0
        self.takes = 0.0
        self.queue, self.watchdog = WorkQueue(self.store, self.clock), Watchdog(self.store, self.clock)
        self.writer = twin_writer(self.twins, self.clock, self.telemetry)
        self.syncs = SyncService(
            store=self.store,
            observer=cast("Observer", self),
            corrections=CorrectionService(self.levers, self.clock),
            publisher=Publisher(self.store, self.twins, self.writer, self, self.telemetry),
            telemetry=self.telemetry,
            clock=self.clock,
        )
        self.store.on_forget(self.telemetry.forget)
        self.sync_loop = SyncLoop(
            self.syncs, self.store, self.queue, self.clock, self.watchdog, first_syncs=FirstSyncs(self.clock, most=32)
        )
        self.events = WatchEvents(
            self.store,
            self.queue,
            restore=lambda _: None,
            remove_finalizer=lambda _: None,
            source_changed=lambda _: None,
            source_gone=lambda _: None,
            in_progress=lambda _: None,
        )
        watching = self.events
        self.resync = Resync(self, self.store, self.clock, gone=watching.twin_gone, deleting=watching.twin_deleting)
        self.daemons: dict[str, tuple[asyncio.Task[None], asyncio.Future[None]]] = {}
        self.alive: dict[str, TwinRef] = {}
        self.born: list[TwinRef] = []

    def post(self, event: Event) -> None:
        assert event.about.uid, event

    async def observe(self, *_: Any, **__: Any) -> Observed:
        await asyncio.sleep(self.takes)
        if (error := FAULTS[self.fault]) is not None:
            raise error
        seen = observation(self.levers.levers[HPA], cpuUsage=50.0)
        return Observed(observation=dataclasses.replace(seen, now=self.clock.now()), refused={})

    def unavailable(self, *_: Any) -> dict[str, Any]:
        return {}

    async def list(self, _: Any = ()) -> list[Any]:
        return copy.deepcopy(list(self.twins.bodies.values()))

    def tell(self, name: str) -> None:
        """Deliver the watch event of a twin as it is now."""
        if (ref := self.alive.get(name)) is not None:
            self.events.twin_seen(copy.deepcopy(self.twins.bodies[ref.uid]), deleted=False)

    async def create(self, name: str) -> None:
        if name not in self.alive:
            ref = self.alive[name] = self.twins.add(name, uid=f"uid-{name}-{len(self.born)}")
            self.born.append(ref)
            self.twins.bodies[ref.uid]["spec"] = copy.deepcopy(SPEC)
            self.tell(name)
            stop = asyncio.get_running_loop().create_future()
            self.daemons[ref.uid] = asyncio.create_task(self.sync_loop.run(ref, stop)), stop

    async def edit(self, name: str) -> None:
        if (ref := self.alive.get(name)) is not None:
            self.twins.edit(ref, spec=True)
            self.tell(name)

    async def ask(self, name: str) -> None:
        if (ref := self.alive.get(name)) is not None:
            asked = {SYNC_REQUESTED_ANNOTATION: str(self.clock.now())}
            self.twins.bodies[ref.uid]["metadata"]["annotations"] = asked
            self.twins.edit(ref)
            self.tell(name)

    async def meddle(self, name: str) -> None:
        """Write its status, as somebody else; no event tells of it."""
        if (ref := self.alive.get(name)) is not None:
            self.twins.edit(ref, status={"healthScore": 1})

    async def fail(self, _: str) -> None:
        self.fault = (self.fault + 1) % len(FAULTS)
        self.twins.faults = [Refused("403", status=403), Unavailable("503", status=503)][: self.fault]
        self.takes = 3.0 * (self.fault % 2)

    async def leave(self, name: str) -> None:
        """Let its deletion begin: its daemon ends."""
        if (ref := self.alive.get(name)) is not None:
            self.twins.bodies[ref.uid]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.twins.edit(ref)
            self.tell(name)

    async def delete(self, name: str) -> None:
        if (ref := self.alive.pop(name, None)) is not None:
            body = self.twins.bodies.pop(ref.uid)
            self.events.twin_seen(copy.deepcopy(body), deleted=True)
            # An event that was on its way.
            self.events.twin_seen(copy.deepcopy(body), deleted=False)

    async def vanish(self, name: str) -> None:
        """Let it go while the watch is broken."""
        if (ref := self.alive.pop(name, None)) is not None:
            del self.twins.bodies[ref.uid]
            await self.resync.call()

    async def stop(self, name: str) -> None:
        """End its daemon while the twin stays, as when the operator stops."""
        if (ref := self.alive.get(name)) is not None and not self.daemons[ref.uid][1].done():
            self.daemons[ref.uid][1].set_result(None)

    async def soon(self, _: str) -> None:
        await asyncio.sleep(1)

    async def later(self, _: str) -> None:
        await asyncio.sleep(90)

    async def end(self) -> None:
        """Delete all twins, and wait until their daemons have ended."""
        for name in list(self.alive):
            await self.delete(name)
        await asyncio.wait_for(asyncio.gather(*(daemon for daemon, _ in self.daemons.values())), 60)


STEPS: tuple[Callable[[Operator, str], Awaitable[None]], ...] = (
    Operator.create,
    Operator.create,
    Operator.edit,
    Operator.ask,
    Operator.meddle,
    Operator.fail,
    Operator.leave,
    Operator.delete,
    Operator.vanish,
    Operator.stop,
    Operator.soon,
    Operator.later,
)


def reachable(*roots: object) -> list[Any]:
    """Return every object that these keep alive; code and the test itself aside."""
    seen: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        code = (type, types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType)
        if id(one) in seen or isinstance(one, (*code, asyncio.AbstractEventLoop, asyncio.Task, Operator)):
            continue
        seen[id(one)] = one
        waiting += gc.get_referents(one)
    return list(seen.values())


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from("ab")), max_size=25))
@settings(max_examples=25, deadline=None)
def test_of_a_twin_that_is_gone_nothing_remains(steps: list[tuple[Any, str]]) -> None:
    @in_fake_time
    async def check() -> None:
        operator = Operator()
        for step, name in steps:
            await step(operator, name)
        left = {ref.uid for ref in operator.born if ref not in operator.alive.values()}
        await asyncio.sleep(FINISH_SECONDS + 3)
        assert {record.ref.uid for record in operator.store} == {ref.uid for ref in operator.alive.values()}
        assert left.isdisjoint(ref.uid for ref in operator.telemetry.twins)
        await operator.end()
        assert (len(operator.store), operator.telemetry.twins) == (0, {})
        gone = operator.store._gone
        assert set(gone) == {ref.uid for ref in operator.born}
        gone.clear()
        keepers = (operator.store, operator.queue, operator.watchdog, operator.sync_loop, operator.events)
        kept = reachable(*keepers, operator.syncs, operator.writer, operator.resync)
        uids = {ref.uid for ref in operator.born}
        assert [one for one in kept if isinstance(one, str) and one in uids] == []

    # Crashes are part of it; their tracebacks would take most of the time.
    with capture_logs():
        check()


@in_fake_time
async def test_a_daemon_that_ends_leaves_the_twin_and_nothing_of_its_syncs() -> None:
    operator = Operator()
    for step in (Operator.create, Operator.later, Operator.stop, Operator.soon):
        await step(operator, "a")
    [record] = list(operator.store)
    fresh = dict.fromkeys(("computed", "due", "reported_in_progress", "written_at"), None)
    assert {name: getattr(record.daemon, name) for name in fresh} == fresh
    assert (record.has_daemon, record.daemon.pending_events, record.history) == (False, (), None)
    assert record.daemon.backoff._failures == {}
    assert operator.telemetry.twins == {}
    assert record.written().health_score is not None, "what stands on the API server is known on"
