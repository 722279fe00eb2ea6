"""One twin, and everything that syncs it: the real observer, corrections, publisher and writer on fakes."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from fakes.clock import START, FakeClock
from fakes.events import FakeEvents
from fakes.levers import FakeLevers
from fakes.sources import FakeSources
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.correcting import HPA, KUBECTL, hpa, workload
from support.journal import Journal, Journaled
from twinops.api import GIVE_BACK_FINALIZER
from twinops.api.references import TargetRef
from twinops.api.twin.observed import Quality
from twinops.controllers.shared.status_writer import StatusWriter
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.write_throttle import WriteThrottle
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.observe import Observer
from twinops.controllers.twin.publish import TWIN_STATUS, Publisher
from twinops.controllers.twin.sync import SyncService
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.batches import Gathered
from twinops.core.observation import Sample, Workload
from twinops.errors import LeadershipLost
from twinops.ports.kubernetes import TwinRef

SPEC: Mapping[str, Any] = {
    "source": {"systemType": "WebService", "targetRef": {"name": "checkout"}},
    "expectedState": {"metrics": {"cpuUsage": 50}},
    "autoCorrection": {"minReplicas": 1, "maxReplicas": 20},
}
FORECASTS = "histories.sync"
"""The name in the journal of the request for forecasts."""
READS = ("sources.access", "workloads.get", "levers.find", "metrics.gather", FORECASTS)
"""What a sync reads, in this order."""
CALM, BUSY = 50.0, 90.0
"""Percent of CPU that ask for nothing, and for a correction."""


def compute_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in the event loop: fake time does not wait for a thread."""

    async def inline(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", inline)


class FakeWorkloads:
    """The target.

    Attributes:
        found: it, as it is.
        fault: raised instead.
    """

    def __init__(self) -> None:
        self.found = workload(3)
        self.fault: Exception | None = None

    async def get(self, namespace: str, ref: TargetRef) -> Workload:
        del namespace, ref
        if self.fault is not None:
            raise self.fault
        return self.found


class FakeGatherer:
    """Metrics.

    Attributes:
        values: by metric name.
        fault: raised instead.
    """

    def __init__(self) -> None:
        self.values = {"cpuUsage": CALM}
        self.fault: Exception | None = None

    async def gather(self, *_: object, now: float, **__: object) -> Gathered:
        if self.fault is not None:
            raise self.fault
        return Gathered({name: Sample(name, Quality.GOOD, value, time=now) for name, value in self.values.items()})

    def unavailable(self, *_: object) -> Gathered:
        return Gathered({name: Sample(name, Quality.ERROR, reason="MetricsUnavailable") for name in self.values})


class FakeHistories:
    """Forecasts nothing."""

    def __init__(self) -> None:
        self.result = ForecastResult()

    async def sync(self, *_: object, **__: object) -> ForecastResult:
        return self.result


class SyncScene:
    """A cluster with the twin ``checkout``, and a process that syncs it.

    Attributes:
        journal: every request that the process sends.
        corrections: of the process.
        leads: whether writes pass the fence.
        task: that ``cancel`` cancels.
    """

    def __init__(self, *, correcting: bool = True, grace_seconds: float = 120.0) -> None:
        self.clock, self.journal, self.leads = FakeClock(START), Journal(), True
        self.twins, self.telemetry, self.events = FakeTwins(), FakeTelemetry(), FakeEvents()
        self.levers, self.sources = FakeLevers(hpa(2, KUBECTL)), FakeSources()
        self.workloads, self.gatherer, self.histories = FakeWorkloads(), FakeGatherer(), FakeHistories()
        self.task: asyncio.Future[None] | None = None
        self.ref = self.twins.add("checkout")
        self._grace = grace_seconds
        spec = copy.deepcopy(dict(SPEC))
        if not correcting:
            spec["autoCorrection"] = {"enabled": False}
        self.body["spec"] = spec
        self.start()

    def start(self) -> None:
        """Start the process, anew: it finds what stands in the cluster."""
        self.store = TwinStore()
        twins = self._journaled("twins", self.twins)
        levers = self._journaled("levers", self.levers)
        self.throttle = WriteThrottle(self.clock)
        self.writer = StatusWriter(
            TWIN_STATUS, twins, self.throttle, self.clock, self.telemetry, fence=self._fence
        )  # fmt: skip
        self.store.on_forget(self.telemetry.forget)
        self.corrections = CorrectionService(levers, self.clock)
        self.syncs = SyncService(
            store=self.store,
            observer=self.observer(),
            corrections=self.corrections,
            publisher=Publisher(self.store, twins, self.writer, self.events, self.telemetry),
            telemetry=self.telemetry,
            clock=self.clock,
            grace_seconds=self._grace,
        )
        if self.ref.uid in self.twins.bodies:
            self.see()

    def observer(self) -> Observer:
        return Observer(
            sources=self._journaled("sources", self.sources),
            workloads=self._journaled("workloads", self.workloads),
            levers=self._journaled("levers", self.levers),
            gatherer=self._journaled("metrics", self.gatherer),
            histories=self._journaled("histories", self.histories),
            store=self.store,
            one_shot_managers=("ci-*",),
        )

    def see(self) -> None:
        """Deliver the twin as it stands to the process, as the watch does."""
        self.store.put(copy.deepcopy(self.body))

    async def sync(self) -> float | None:
        return await self.syncs.sync(self.ref, 0.0)

    async def run(self, count: int) -> None:
        """Sync as the daemon does, so many times: after a crash, too, and sooner where a retry is asked for."""
        for _ in range(count):
            try:
                retry = await self.sync()
            except RuntimeError:
                await self.syncs.crashed(self.ref)
                retry = 30.0
            await asyncio.sleep(60.0 if retry is None else min(retry, 60.0))

    async def until_due(self) -> None:
        """Sync under load until the next sync makes a correction."""
        self.gatherer.values["cpuUsage"] = BUSY
        for _ in range(2):
            await self.sync()
            await asyncio.sleep(60)
        self.journal.clear()

    async def cancel(self) -> None:
        """Cancel the task that syncs, at the await that is under way."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.sleep(0)

    def begin_deletion(self) -> None:
        """Delete the twin: it goes at once without finalizers, else it stays until they are taken off."""
        if self.ref.uid not in self.twins.bodies:
            return
        if self.body["metadata"].get("finalizers"):
            self.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.twins.edit(self.ref)
            self.see()
        else:
            self.vanish()

    def vanish(self) -> None:
        """Let the twin go whatever stands in its finalizers."""
        if self.ref.uid in self.twins.bodies:
            self.twins.remove(self.ref)
        self.store.drop(self.ref.uid)

    def recreate(self) -> TwinRef:
        """Replace the twin by one of the same name."""
        self.vanish()
        return self.twins.keep(TwinRef(self.ref.namespace, self.ref.name, "uid-of-another"), SPEC, None)

    @property
    def body(self) -> dict[str, Any]:
        return self.twins.bodies[self.ref.uid]

    @property
    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.body["status"]
        return found

    @property
    def guarded(self) -> bool:
        return GIVE_BACK_FINALIZER in self.body["metadata"].get("finalizers", ())

    @property
    def floor(self) -> int | None:
        """The value of the lever's field."""
        return self.levers.levers[HPA].value

    @property
    def outcomes(self) -> list[str]:
        return [record["outcome"] for record in self.status.get("corrections", [])]

    def _journaled(self, name: str, inner: Any) -> Any:
        return cast("Any", Journaled(name, inner, self.journal))

    def _fence(self) -> None:
        if not self.leads:
            raise LeadershipLost("another process leads")
