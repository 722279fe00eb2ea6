"""What a leader is made of: adapters and controllers, joined. Together with ``main`` the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.events import ClusterEvents
from twinops.adapters.kubernetes.hpa_cache import HpaCache, ScaledObjectCache, Seen
from twinops.adapters.kubernetes.levers import ClusterLevers
from twinops.adapters.kubernetes.pod_cache import API_VERSION as PODS_VERSION
from twinops.adapters.kubernetes.pod_cache import PLURAL as PODS
from twinops.adapters.kubernetes.pod_cache import PodIndex, kept_pod
from twinops.adapters.kubernetes.pods import PodFinder
from twinops.adapters.kubernetes.sources import ClusterSources
from twinops.adapters.kubernetes.twins import ClusterTwins
from twinops.adapters.kubernetes.watched import Watched
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.controllers.shared.lease import Elector
from twinops.controllers.shared.links import SOURCE_KIND, ObjectKey
from twinops.controllers.shared.resync import Resync
from twinops.controllers.shared.status_writer import StatusWriter
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.sync_loop import SyncLoop
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.controllers.source.checks import SourceChecks
from twinops.controllers.source.circuit_breaker import CircuitBreakers
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.departures import Departures
from twinops.controllers.twin.gather import Gatherer
from twinops.controllers.twin.observe import Observer
from twinops.controllers.twin.publish import Publisher, involved
from twinops.controllers.twin.release import Releases
from twinops.controllers.twin.sync import SyncService
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.core.status.events import NORMAL
from twinops.engine.forecaster_cache import ForecasterCache
from twinops.ports.process import Clock, Telemetry
from twinops.settings import Settings

DRAIN_SECONDS = 2.0
"""How long Events that are still queued may take to be posted at the end."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What every process has, leading or not."""

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    store: TwinStore
    watchdog: Watchdog


class _Caches:
    """What syncs read from a watch: pods, HPAs and ScaledObjects.

    Args:
        client: with connections of its own.
        around: what the process has anyway.
        hpa_seen: told of HPAs that changed.
    """

    def __init__(self, client: KubeClient, around: ProcessContext, hpa_seen: Seen) -> None:
        clock, namespaces = around.clock, around.settings.watch_namespaces
        self._index = PodIndex()
        self._pods = Watched(client, clock, PODS_VERSION, PODS, namespaces, keep=kept_pod, changed=self._index.changed)
        self.hpas = HpaCache(client, clock, namespaces, hpa_seen)
        self.scaled_objects = ScaledObjectCache(client, clock, namespaces)

    def finder(self, client: KubeClient, discovery: Discovery) -> PodFinder:
        """Return what finds pods."""
        return PodFinder(client, discovery, self._pods, self._index)

    def jobs(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Return what keeps them up, by name."""
        return {
            "pods": self._pods.run(),
            "hpas": self.hpas.watched.run(),
            "scaled objects": self.scaled_objects.watched.run(),
        }

    async def first(self) -> None:
        """Wait until each has been read once, or could not be."""
        await asyncio.gather(self._pods.first(), self.hpas.watched.first(), self.scaled_objects.watched.first())


class Leader:
    """Everything that runs only while this process leads.

    Args:
        around: what the process has anyway.
        client: the API server; every write through it is fenced by the elector, Events aside.
        elector: knows whether this process still leads.
    """

    def __init__(self, around: ProcessContext, client: KubeClient, elector: Elector) -> None:
        settings, clock, telemetry = around.settings, around.clock, around.telemetry
        # What the fence lets through at the deadline must be over before the lease can change hands.
        margin = settings.lease_duration_seconds - settings.renew_deadline_seconds
        fenced = client.fenced(elector.fence, timeout_seconds=min(settings.request_timeout_seconds, margin))
        discovery = Discovery(fenced)
        twins = ClusterTwins(fenced)
        self._caches = _Caches(client.for_watches(), around, self._hpa_seen)
        levers = ClusterLevers(fenced, discovery, self._caches.hpas, self._caches.scaled_objects)
        store = around.store
        queue = WorkQueue(store, clock, spacing_seconds=settings.sync_spacing_seconds)
        corrections = CorrectionService(levers, clock)
        self._backend = PrometheusBackend(connections=settings.metrics_threads)
        self._events = ClusterEvents(client, clock, instance=settings.identity)
        self._sources = ClusterSources(fenced, clock, namespace=settings.namespace)
        self._circuits = CircuitBreakers(self._backend, clock, suspect=self._doubt)
        self._memories = ForecasterCache(self._circuits)
        self._releases = Releases(twins, corrections, self._events, clock, busy=queue.is_running)
        self._checks = SourceChecks(
            self._sources,
            self._backend.probes,
            telemetry,
            clock,
            recovered=self._source_recovered,
            answered=self._circuits.probe_answered,
            failed=self._circuits.probe_failed,
        )
        self._store, self._queue = store, queue
        self._telling: set[asyncio.Task[None]] = set()
        writer = StatusWriter(
            twins,
            clock,
            telemetry,
            fence=elector.fence,
            per_second=settings.status_writes_per_second,
            heartbeat_seconds=settings.heartbeat_seconds,
        )
        observer = Observer(
            sources=self._sources,
            workloads=ClusterWorkloads(fenced, discovery, self._caches.finder(fenced, discovery)),
            levers=levers,
            gatherer=Gatherer(self._circuits, PrometheusTexts()),
            memories=self._memories,
            index=store,
            one_shot_managers=settings.one_shot_managers,
        )
        syncs = SyncService(
            store=store,
            observer=observer,
            corrections=corrections,
            publisher=Publisher(store, twins, writer, self._events),
            telemetry=telemetry,
            clock=clock,
            grace_seconds=settings.grace_seconds,
        )
        # What else is kept of a twin while its daemon runs.
        store.on_forget(telemetry.forget, lambda ref: writer.forget(ref.uid), lambda ref: self._memories.drop(ref.uid))
        self.ticker = SyncLoop(syncs, store, queue, clock, around.watchdog, concurrency=settings.sync_concurrency)
        self._departures = Departures(twins, store, clock, serves=self.ticker.serves)
        self.watching = WatchEvents(
            store,
            queue,
            release=self._releases.start,
            leaving=self._departures.start,
            source_changed=self._source_changed,
            source_gone=self._source_gone,
            busy=self._tell_busy,
        )
        self.roll_call = Resync(
            twins,
            store,
            clock,
            leaving=self.watching.twin_leaves,
            namespaces=settings.watch_namespaces,
        )

    def jobs(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Return what runs beside kopf, by name."""
        return {
            "events": self._events.run(),
            "roll call": self.roll_call.run(),
            "sources": self._checks.run(),
            **self._caches.jobs(),
        }

    async def first(self) -> None:
        """Wait until it is known what is there: twins, and what their syncs read from a watch."""
        await asyncio.gather(self.roll_call.first(), self._caches.first())

    async def aclose(self) -> None:
        """End what is under way; everything that matters stands in status."""
        await self._departures.aclose()
        await self._releases.aclose()
        await self._memories.aclose()
        await self._backend.aclose()
        await self._events.drain(DRAIN_SECONDS)

    def _hpa_seen(self, body: Mapping[str, Any], listed: bool, deleted: bool) -> None:  # noqa: FBT001 - as the cache calls it
        self.watching.dependency_seen(body, listed=listed, deleted=deleted)

    def _doubt(self, name: str) -> None:
        # The two know each other, and one of them is made first.
        self._checks.doubt(name)

    def _source_changed(self, name: str) -> None:
        self._sources.forget(name)
        self._circuits.forget(name)
        self._checks.seen(name)

    def _source_recovered(self, name: str) -> None:
        dependents = self._store.dependents(ObjectKey(SOURCE_KIND, "", name))
        self._queue.request_all([ref.uid for ref in dependents], f"{SOURCE_KIND} {name} answers again")

    def _source_gone(self, name: str) -> None:
        self._sources.forget(name)
        self._circuits.forget(name)
        self._backend.forget(name)
        self._checks.gone(name)

    def _tell_busy(self, body: Mapping[str, Any]) -> None:
        message = "sync already in progress; the requested one runs next"
        post = self._events.post(involved(body), kind=NORMAL, reason="SyncInProgress", message=message)
        task = asyncio.ensure_future(post)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
