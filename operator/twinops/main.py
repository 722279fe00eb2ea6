"""Runs the operator: waits for the lease, composes the leader (``wiring``) and runs kopf in one event loop."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import kopf
import structlog

from twinops import __version__, logs
from twinops.adapters import process
from twinops.adapters.clock import SystemClock
from twinops.adapters.http import Web
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.leases import ClusterLeases
from twinops.adapters.telemetry import PrometheusTelemetry
from twinops.controllers.shared.lease import ElectionTimes, Elector
from twinops.controllers.shared.lease_thread import LeaseThread
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.watchdog import Watchdog
from twinops.errors import SettingsError, TwinOpsError
from twinops.handlers.operator import kopf_registry, kopf_settings
from twinops.settings import Settings
from twinops.wiring import Leader, ProcessContext

log = structlog.get_logger()

T = TypeVar("T")

LEASE_LOST = 1
"""Exit status that makes a kubelet start the process again."""

CRASHED = 1
MISCONFIGURED = 2

STOP_SECONDS = 15.0
"""Seconds that running syncs, and kopf itself, may take to end after a signal."""

FORCED_SECONDS = 2.0
"""Seconds that kopf may take to end after it has been cancelled."""

END_SECONDS = 25.0
"""Seconds that the process may take to end; less than the 30 s after which a kubelet kills it."""


def run(environ: Mapping[str, str], *, kubeconfig: str | None = None) -> int:
    """Run the operator, and end the process: 0 after a signal, 1 when the lease is lost, 2 for a bad setting.

    After a signal the status is 0, whatever hangs or fails during the shutdown. Signals must be blocked before
    (``process.hold_signals``).

    Args:
        environ: the environment; settings are read from it.
        kubeconfig: path; None for the pod's service account, else the default kubeconfig.
    """
    # Before the settings are read, so that an invalid setting is logged in the chosen format, too.
    console = environ.get("TWINOPS_LOG_FORMAT", "").strip().lower() == "console"
    logs.configure("info", "console" if console else "json")
    logs.catch_everything()
    try:
        settings = Settings.from_env(environ)
    except SettingsError as error:
        return _failed(error, stopping=False)
    logs.set_level(settings.log_level)
    if kubeconfig is not None:
        # kopf reads the kubeconfig's path from the environment only.
        os.environ["KUBECONFIG"] = kubeconfig
    return asyncio.run(_run(Operator(settings, kubeconfig)))


async def _run(operator: Operator) -> NoReturn:
    stop = asyncio.Event()
    process.on_signal(stop, patience_seconds=END_SECONDS)
    try:
        status = await operator.run(stop)
    except Exception as error:  # noqa: BLE001 - however it ends, it says so, and in the form of the log
        status = _failed(error, stopping=stop.is_set())
    # Without waiting for threads that still wait for an answer.
    process.end(status)


def _failed(error: Exception, *, stopping: bool) -> int:
    if stopping:
        log.warning("not everything ended well", error=str(error) or type(error).__name__)
        return 0
    if isinstance(error, TwinOpsError):
        log.critical("cannot go on", error=str(error))
        return MISCONFIGURED if isinstance(error, SettingsError) else CRASHED
    log.critical("crashed", exc_info=error)
    return CRASHED


class Operator:
    """One process of the operator, from its start to its end."""

    def __init__(self, settings: Settings, kubeconfig: str | None = None) -> None:
        """Store the arguments; connections are opened in ``run``."""
        self._settings = settings
        self._kubeconfig = kubeconfig
        self._clock = SystemClock()
        self._telemetry = PrometheusTelemetry(self._clock)
        self._store = TwinStore()
        self._watchdog = Watchdog(self._store, self._clock)
        self._context = ProcessContext(settings, self._clock, self._telemetry, self._store, self._watchdog)

    async def run(self, stop: asyncio.Event) -> int:
        """Stand by, lead, and end when ``stop`` is set or the lease is lost. Returns the exit status."""
        settings = self._settings
        log.info("starting", version=__version__, identity=settings.identity)
        connecting = KubeClient.connect(self._kubeconfig, timeout_seconds=settings.request_timeout_seconds)
        client = await _unless(stop, connecting)
        if client is None:
            return 0
        web = Web(
            settings.listen_host,
            settings.listen_port,
            render=self._telemetry.render,
            health=self._health,
        )
        lease = LeaseThread(self._elector, self._clock, lost=_end_soon)
        electing = lease.start()
        try:
            port = await web.start()
            log.info("started", version=__version__, identity=settings.identity, port=port)
            await _first(lease.leading.wait(), stop.wait(), asyncio.shield(electing))
            if lease.leading.is_set() and not stop.is_set():
                await self._lead(client, lease, stop)
        finally:
            lost = lease.lost.is_set()
            if not stop.is_set():
                # No signal, so no kubelet would kill a process that hangs here.
                process.end_within(END_SECONDS, LEASE_LOST)
            await lease.aclose()
            crashed = electing.exception() if electing.done() else None
            await web.stop()
            await client.aclose()
        if crashed is not None:
            raise crashed
        return LEASE_LOST if lost and not stop.is_set() else 0

    def _health(self) -> tuple[bool, str]:
        verdict = self._watchdog.verdict()
        return verdict.healthy, verdict.message

    @asynccontextmanager
    async def _elector(self, alive: Callable[[], bool]) -> AsyncIterator[Elector]:
        """Make the elector, in the thread of the lease, with a connection and a token of its own."""
        settings = self._settings
        client = await KubeClient.connect(self._kubeconfig, timeout_seconds=settings.lease_request_timeout_seconds)
        leases = ClusterLeases(
            client,
            settings.namespace,
            settings.lease_name,
            timeout_seconds=settings.lease_request_timeout_seconds,
        )
        times = ElectionTimes(
            lease_duration=settings.lease_duration_seconds,
            renew_deadline=settings.renew_deadline_seconds,
            retry_period=settings.retry_period_seconds,
            request_timeout=settings.lease_request_timeout_seconds,
        )
        try:
            yield Elector(leases, self._clock, self._telemetry, times, identity=settings.identity, alive=alive)
        finally:
            await client.aclose()

    async def _lead(self, client: KubeClient, lease: LeaseThread, stop: asyncio.Event) -> None:
        """Run kopf until the stop signal or the loss of the lease."""
        leader = Leader(self._context, client, lease)
        tasks = [asyncio.create_task(job, name=name) for name, job in leader.jobs().items()]
        try:
            await _first(leader.first(), stop.wait(), lease.lost.wait())
            if stop.is_set() or lease.lost.is_set():
                return
            # The objects of the start are long-lived: exclude them from garbage collection.
            gc.freeze()
            registry = kopf_registry(sync_loop=leader.sync_loop, watching=leader.watching, kubeconfig=self._kubeconfig)
            await self._run_kopf(registry, lease, stop, tasks)
        finally:
            await leader.aclose()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_kopf(
        self,
        registry: kopf.OperatorRegistry,
        lease: LeaseThread,
        stop: asyncio.Event,
        jobs: Sequence[asyncio.Task[None]],
    ) -> None:
        """Run kopf until the process is to end, or until a job that should run for ever ends."""
        namespaces = self._settings.watch_namespaces
        stopping = asyncio.Event()
        # Created before kopf starts: at its end kopf waits for every task that was created after its start.
        ends = [asyncio.create_task(event.wait()) for event in (lease.lost, stop)]
        running = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=stopping,
            ),
            name="kopf",
        )
        await asyncio.wait({running, *ends, *jobs}, return_when=asyncio.FIRST_COMPLETED)
        asked = stop.is_set() or lease.lost.is_set()
        stopping.set()
        # A leader that lost its lease has nothing to finish: the fence refuses every write.
        await asyncio.wait({running}, timeout=0.1 if lease.lost.is_set() else STOP_SECONDS)
        for task in (running, *ends):
            task.cancel()
        await asyncio.wait({running}, timeout=FORCED_SECONDS)
        for task in (running, *jobs):
            if not task.done() or task.cancelled() or (error := task.exception()) is None:
                continue
            if not asked:
                # Only a defect ends these: restart the process.
                raise error
            # kopf raises errors of tasks that were still running, for example of an unanswered request.
            log.info("ended on the way out", task=task.get_name(), error=str(error) or type(error).__name__)


def _end_soon() -> None:
    """End a process that has lost its lease within a limit, even where its main loop stands still."""
    process.end_within(END_SECONDS, LEASE_LOST)


async def _unless(stop: asyncio.Event, wait: Awaitable[T]) -> T | None:
    """Return the result, or None when ``stop`` is set before there is one."""
    waiting, stopped = asyncio.ensure_future(wait), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        stopped.cancel()
        waiting.cancel()


async def _first(*waits: Any) -> None:
    """Wait until the first of these ends, and raise its error."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
