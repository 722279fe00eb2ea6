"""The composition root: joins adapters and services, waits for the lease, and runs kopf."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Sequence
from typing import Any

import kopf
import structlog

from twinops import __version__, logs
from twinops.adapters.clock import SystemClock
from twinops.adapters.cluster.client import KubeClient
from twinops.adapters.cluster.leases import ClusterLeases
from twinops.adapters.telemetry import PrometheusTelemetry
from twinops.adapters.web import Web
from twinops.handlers.operator import kopf_registry, kopf_settings
from twinops.services.election import ElectionTimes, Elector
from twinops.services.watchdog import Watchdog
from twinops.settings import Settings
from twinops.wiring import Leader, Surroundings

log = structlog.get_logger()

LEASE_LOST = 1
"""Exit status that makes a kubelet start the process again."""

STOP_SECONDS = 20.0
"""How long running syncs may take to end after a signal."""


def run(settings: Settings, *, kubeconfig: str | None = None) -> int:
    """Run the operator until a signal (exit status 0) or until the lease is lost (1).

    Args:
        settings: from the environment.
        kubeconfig: path; None for the pod's service account, else the default kubeconfig.

    Raises:
        SettingsError: no way to reach a cluster.
    """
    logs.configure(settings.log_level, settings.log_format)
    if kubeconfig is not None:
        # kopf has no other way to be told.
        os.environ["KUBECONFIG"] = kubeconfig
    return asyncio.run(_run(Operator(settings, kubeconfig)))


async def _run(operator: Operator) -> int:
    status = await operator.run()
    if status == LEASE_LOST:
        # Somebody else leads by now. Threads that still wait for an answer must not keep this process.
        logging.shutdown()
        os._exit(status)
    return status


class Operator:
    """One process of the operator, from its start to its end."""

    def __init__(self, settings: Settings, kubeconfig: str | None = None) -> None:
        """Keep what it is started with; nothing is opened yet."""
        self._settings = settings
        self._kubeconfig = kubeconfig
        self._clock = SystemClock()
        self._telemetry = PrometheusTelemetry(self._clock)
        self._watchdog = Watchdog(self._clock)
        self._around = Surroundings(settings, self._clock, self._telemetry, self._watchdog)

    async def run(self) -> int:
        """Stand by, lead, and end. Returns the exit status."""
        settings = self._settings
        stop = asyncio.Event()
        _on_signals(stop)
        client = await KubeClient.connect(self._kubeconfig, timeout_seconds=settings.request_timeout_seconds)
        web = Web(
            settings.listen_host,
            settings.listen_port,
            render=self._telemetry.render,
            health=self._health,
        )
        elector = self._elector(client)
        electing = asyncio.create_task(elector.run(), name="elector")
        try:
            port = await web.start()
            log.info("started", version=__version__, identity=settings.identity, port=port)
            await _first(elector.leading.wait(), stop.wait(), asyncio.shield(electing))
            if elector.leading.is_set() and not stop.is_set():
                await self._lead(client, elector, stop)
        finally:
            lost = elector.lost.is_set()
            electing.cancel()
            crashed = await asyncio.gather(electing, return_exceptions=True)
            await elector.release()
            await web.stop()
            await client.aclose()
        if isinstance(crashed[0], Exception):
            raise crashed[0]
        return LEASE_LOST if lost else 0

    def _health(self) -> tuple[bool, str]:
        verdict = self._watchdog.verdict()
        return verdict.healthy, verdict.message

    def _elector(self, client: KubeClient) -> Elector:
        settings = self._settings
        leases = ClusterLeases(
            client, settings.namespace, settings.lease_name, timeout_seconds=settings.lease_request_timeout_seconds
        )
        times = ElectionTimes(
            lease_duration=settings.lease_duration_seconds,
            renew_deadline=settings.renew_deadline_seconds,
            retry_period=settings.retry_period_seconds,
            request_timeout=settings.lease_request_timeout_seconds,
        )
        return Elector(leases, self._clock, self._telemetry, times, identity=settings.identity)

    async def _lead(self, client: KubeClient, elector: Elector, stop: asyncio.Event) -> None:
        """Run kopf until the stop signal or the loss of the lease."""
        leader = Leader(self._around, client, elector)
        tasks = [asyncio.create_task(job, name=name) for name, job in leader.jobs().items()]
        try:
            await _first(leader.roll_call.first(), stop.wait(), elector.lost.wait())
            if stop.is_set() or elector.lost.is_set():
                return
            # What lives now lives long: the collector need not look at it again.
            gc.freeze()
            registry = kopf_registry(ticker=leader.ticker, watching=leader.watching, kubeconfig=self._kubeconfig)
            await self._run_kopf(registry, elector, stop, tasks)
        finally:
            await leader.aclose()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_kopf(
        self,
        registry: kopf.OperatorRegistry,
        elector: Elector,
        stop: asyncio.Event,
        jobs: Sequence[asyncio.Task[None]],
    ) -> None:
        """Run kopf until the process is to end, or until anything that should run for ever does not."""
        namespaces = self._settings.watch_namespaces
        stopping, ready = asyncio.Event(), asyncio.Event()
        # Made before kopf starts: at its end kopf waits for every task that was made after it.
        ends = [asyncio.create_task(event.wait()) for event in (elector.lost, stop)]
        started = asyncio.create_task(ready.wait())
        running = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=stopping,
                ready_flag=ready,
            ),
            name="kopf",
        )
        await asyncio.wait({running, started, *ends}, return_when=asyncio.FIRST_COMPLETED)
        # kopf has put its own handlers in place, after which it would wait five seconds for itself.
        _on_signals(stop)
        await asyncio.wait({running, *ends, *jobs}, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        # A leader that lost its lease has nothing to finish: every write of its would be refused anyway.
        await asyncio.wait({running}, timeout=0.1 if elector.lost.is_set() else STOP_SECONDS)
        for task in (running, started, *ends):
            task.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for task in (running, *jobs):
            if task.done() and not task.cancelled():
                # Only a defect ends these: a restart is better than half an operator.
                task.result()


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _first(*waits: Any) -> None:
    """Return when the first of these ends, and raise what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
