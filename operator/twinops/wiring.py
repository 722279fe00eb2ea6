"""Composes adapters and controllers into a leader. Together with ``main`` the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
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
from twinops.adapters.kubernetes.target_cache import TargetCache
from twinops.adapters.kubernetes.twins import ClusterTwins
from twinops.adapters.kubernetes.watched import Watched
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.controllers.shared.lease_thread import LeaseThread
from twinops.controllers.shared.links import SOURCE_KIND, ObjectKey
from twinops.controllers.shared.pacing import FirstSyncs
from twinops.controllers.shared.record import TwinObject
from twinops.controllers.shared.resync import Resync
from twinops.controllers.shared.status_writer import StatusWriter
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.sync_loop import SyncLoop
from twinops.controllers.shared.twin_body import trimmed
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.controllers.shared.write_throttle import WriteThrottle
from twinops.controllers.source.checks import SOURCE_STATUS, SourceChecks
from twinops.controllers.source.circuit_breaker import CircuitBreakers
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.daemon_finalizer import DaemonFinalizerRemoval
from twinops.controllers.twin.deletion_restores import DeletionRestores
from twinops.controllers.twin.gather import Gatherer
from twinops.controllers.twin.observe import Observer
from twinops.controllers.twin.publish import TWIN_STATUS, Publisher
from twinops.controllers.twin.sync import SyncService
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.core.events import NORMAL, Event
from twinops.engine.history_loader import HistoryLoader
from twinops.ports.kubernetes import SourceRef, TwinRef
from twinops.ports.process import Clock, Telemetry
from twinops.settings import Settings

DRAIN_SECONDS = 2.0
"""Seconds that queued Events may take to be posted at the end."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What exists once per process, whether it leads or not."""

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    store: TwinStore
    watchdog: Watchdog


class _Caches:
    """Watched copies that syncs read: targets, pods, HPAs and ScaledObjects.

    Args:
        client: of ``KubeClient.for_watches``.
        context: of the process.
        seen: called for targets and HPAs that changed.
    """

    def __init__(self, client: KubeClient, context: ProcessContext, seen: Seen) -> None:
        clock, namespaces = context.clock, context.settings.watch_namespaces
        self._index = PodIndex()
        self._pods = Watched(client, clock, PODS_VERSION, PODS, namespaces, keep=kept_pod, changed=self._index.changed)
        self.targets = TargetCache(client, clock, namespaces, seen=seen, in_use=context.store.depends_on_kind)
        self.hpas = HpaCache(client, clock, namespaces, seen)
        self.scaled_objects = ScaledObjectCache(client, clock, namespaces)

    def pod_finder(self, client: KubeClient, discovery: Discovery) -> PodFinder:
        """Return a finder that reads these pods."""
        return PodFinder(client, discovery, self._pods, self._index)

    def jobs(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Return the coroutines that keep the copies current, by name."""
        return {
            "targets": self.targets.run(),
            "pods": self._pods.run(),
            "hpas": self.hpas.watched.run(),
            "scaled objects": self.scaled_objects.watched.run(),
        }

    async def first(self) -> None:
        """Wait until the first read of each has succeeded or failed. Targets are read once twins ask for them."""
        await asyncio.gather(self._pods.first(), self.hpas.watched.first(), self.scaled_objects.watched.first())


class _Cluster:
    """The Kubernetes adapters of a leader. Writes are sent only while it leads; Events always.

    Args:
        context: of the process.
        client: of the API server.
        lease: whose fence guards writes.
        seen: called for targets and HPAs that changed.
    """

    def __init__(self, context: ProcessContext, client: KubeClient, lease: LeaseThread, seen: Seen) -> None:
        settings, clock = context.settings, context.clock
        # A write that the fence allows at the deadline must end before another process can acquire the lease.
        margin = settings.lease_duration_seconds - settings.renew_deadline_seconds
        fenced = client.fenced(lease.fence, timeout_seconds=min(settings.request_timeout_seconds, margin))
        discovery = Discovery(fenced)
        self.caches = caches = _Caches(client.for_watches(), context, seen)
        self.twins = ClusterTwins(fenced, trim=trimmed)
        self.levers = ClusterLevers(fenced, discovery, caches.hpas, caches.scaled_objects, caches.targets)
        self.workloads = ClusterWorkloads(fenced, discovery, caches.pod_finder(fenced, discovery), caches.targets)
        self.sources = ClusterSources(fenced, clock, namespace=settings.namespace)
        self.events = ClusterEvents(client, clock, instance=settings.identity)


class _Metrics:
    """Metrics sources: the Prometheus client, circuit breakers, health checks and histories.

    Args:
        context: of the process.
        sources: reads and writes MetricsSources.
        writer: of their statuses.
        recovered: called with the name of a source that answers again.
    """

    def __init__(
        self,
        context: ProcessContext,
        sources: ClusterSources,
        writer: StatusWriter[SourceRef],
        recovered: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._backend = PrometheusBackend(connections=context.settings.metrics_threads)
        self.circuits = CircuitBreakers(self._backend, context.clock, suspect=self._check_soon)
        self.histories = HistoryLoader(self.circuits)
        self.checks = SourceChecks(
            sources,
            self._backend.probes,
            writer,
            context.telemetry,
            context.clock,
            recovered=recovered,
            answered=self.circuits.probe_answered,
            failed=self.circuits.probe_failed,
        )

    def changed(self, name: str) -> None:
        """Read a source's spec again and check it."""
        self._sources.forget(name)
        self.circuits.forget(name)
        self.checks.check_now(name)

    def gone(self, name: str) -> None:
        """Forget a source that was deleted."""
        self._sources.forget(name)
        self.circuits.forget(name)
        self._backend.forget(name)
        self.checks.forget(name)

    async def aclose(self) -> None:
        """Stop loading histories and close the connections."""
        await self.histories.aclose()
        await self._backend.aclose()

    def _check_soon(self, name: str) -> None:
        # A method, because circuits and checks refer to each other and circuits are created first.
        self.checks.check_soon(name)


class Leader:
    """Everything that runs only while this process leads.

    Args:
        context: of the process.
        client: of the API server; every write through it is fenced by the lease, Events aside.
        lease: that this process holds.
    """

    def __init__(self, context: ProcessContext, client: KubeClient, lease: LeaseThread) -> None:
        clock = context.clock
        self._store = context.store
        self._queue = WorkQueue(self._store, clock, spacing_seconds=context.settings.sync_spacing_seconds)
        self._cluster = _Cluster(context, client, lease, self._dependency_seen)
        throttle = WriteThrottle(
            clock,
            per_second=context.settings.status_writes_per_second,
            heartbeat_seconds=context.settings.heartbeat_seconds,
        )
        sources, twins, events = self._cluster.sources, self._cluster.twins, self._cluster.events
        fence, telemetry = lease.fence, context.telemetry
        self._telemetry = telemetry
        # A throttle of its own: while no MetricsSource can be written, twins must still write their intents.
        source_writer = StatusWriter(SOURCE_STATUS, sources, WriteThrottle(clock), clock, telemetry, fence=fence)
        twin_writer = StatusWriter(TWIN_STATUS, twins, throttle, clock, telemetry, fence=fence)
        self._metrics = _Metrics(context, sources, source_writer, self._source_recovered)
        corrections = CorrectionService(self._cluster.levers, clock)
        publisher = Publisher(self._store, twins, twin_writer, events, telemetry)
        concurrency = context.settings.sync_concurrency
        self._first_syncs = FirstSyncs(clock, most=concurrency // 2)
        self.sync_loop = SyncLoop(
            self._sync_service(context, corrections, publisher),
            self._store,
            self._queue,
            clock,
            context.watchdog,
            first_syncs=self._first_syncs,
            concurrency=concurrency,
        )
        self._store.on_forget(telemetry.forget)
        self._deletion_restores = DeletionRestores(twins, corrections, events, clock, busy=self._queue.is_running)
        self._finalizers = DaemonFinalizerRemoval(twins, self._store, clock, has_daemon=self.sync_loop.has_daemon)
        self.watching = WatchEvents(
            self._store,
            self._queue,
            restore=self._deletion_restores.start,
            remove_finalizer=self._finalizers.start,
            source_changed=self._metrics.changed,
            source_gone=self._metrics.gone,
            in_progress=self._post_in_progress,
        )
        self.resync = Resync(
            twins,
            self._store,
            clock,
            gone=self.watching.twin_gone,
            deleting=self.watching.twin_deleting,
            idle=self._restart_daemon,
            namespaces=context.settings.watch_namespaces,
        )

    def _sync_service(
        self, context: ProcessContext, corrections: CorrectionService, publisher: Publisher
    ) -> SyncService:
        """Compose the sync of a twin: gather, decide, correct, publish."""
        settings, cluster = context.settings, self._cluster
        observer = Observer(
            sources=cluster.sources,
            workloads=cluster.workloads,
            levers=cluster.levers,
            gatherer=Gatherer(self._metrics.circuits, PrometheusTexts()),
            histories=self._metrics.histories,
            store=self._store,
            one_shot_managers=settings.one_shot_managers,
        )
        return SyncService(
            store=self._store,
            observer=observer,
            corrections=corrections,
            publisher=publisher,
            telemetry=context.telemetry,
            clock=context.clock,
            grace_seconds=settings.grace_seconds,
        )

    def jobs(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Return the coroutines that run beside kopf, by name."""
        return {
            "events": self._cluster.events.run(),
            "resync": self.resync.run(),
            "pacing": self._first_syncs.run(),
            "sources": self._metrics.checks.run(),
            **self._cluster.caches.jobs(),
        }

    async def first(self) -> None:
        """Wait for the first list of twins and of the watched copies."""
        await asyncio.gather(self.resync.first(), self._cluster.caches.first())

    async def aclose(self) -> None:
        """Cancel all tasks and close connections. Nothing is lost: all state that matters is in the twins' status."""
        await self.sync_loop.aclose()
        await self._finalizers.aclose()
        await self._deletion_restores.aclose()
        await self._metrics.aclose()
        await self._cluster.events.drain(DRAIN_SECONDS)

    def _dependency_seen(self, body: Mapping[str, Any], listed: bool, deleted: bool) -> None:  # noqa: FBT001 - as the caches call it
        self.watching.dependency_seen(body, listed=listed, deleted=deleted)

    def _restart_daemon(self, ref: TwinRef) -> None:
        self._telemetry.daemon_restarted()
        self.sync_loop.restart(ref)

    def _source_recovered(self, name: str) -> None:
        dependents = self._store.dependents(ObjectKey(SOURCE_KIND, "", name))
        self._queue.request_all([ref.uid for ref in dependents], f"{SOURCE_KIND} {name} answers again")

    def _post_in_progress(self, twin: TwinObject) -> None:
        message = "sync already in progress; the requested one runs next"
        self._cluster.events.post(Event(twin.about, NORMAL, "SyncInProgress", message))
