"""``twinops uninstall``: takes the operator's place as the leader, and ends its work."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from twinops import logs
from twinops.adapters.clock import SystemClock
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.deployments import OperatorDeployment
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.events import ClusterEvents
from twinops.adapters.kubernetes.hpa_cache import HpaCache, ScaledObjectCache
from twinops.adapters.kubernetes.leases import ClusterLeases
from twinops.adapters.kubernetes.levers import ClusterLevers
from twinops.adapters.kubernetes.twins import ClusterTwins
from twinops.adapters.telemetry import PrometheusTelemetry
from twinops.controllers.shared.lease import ElectionTimes, Elector
from twinops.controllers.shared.twin_body import trimmed
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.uninstall import Uninstall, UninstallResult
from twinops.errors import ClusterError, InputError
from twinops.printable import printable
from twinops.settings import Settings

INCOMPLETE = 1

GRACE_SECONDS = 30.0
"""How long an operator that is scaled away may take to end, as its Deployment says."""

DRAIN_SECONDS = 5.0

Scalers = tuple[HpaCache, ScaledObjectCache]


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the command and return its exit status.

    Raises:
        TwinOpsError: nothing could be begun.
    """
    logs.configure("warning", "console")
    flags = {"namespace": arguments.namespace, "lease_name": arguments.lease_name}
    return asyncio.run(Command(arguments, Settings.from_env(environ, flags)).run())


class Command:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace, settings: Settings) -> None:
        self._arguments = arguments
        self._settings = settings
        self._clock = SystemClock()
        self._deadline = self._clock.monotonic() + arguments.deadline

    async def run(self) -> int:
        """Run the command and return its exit status."""
        limit = self._settings.request_timeout_seconds
        client = await KubeClient.connect(self._arguments.kubeconfig, timeout_seconds=limit)
        try:
            if self._arguments.dry_run:
                return await self._preview(client)
            return await self._uninstall(client)
        finally:
            await client.aclose()

    async def _preview(self, client: KubeClient) -> int:
        if self._arguments.deployment and (replicas := await self._deployment(client).replicas()):
            _tell(f"would scale deployment {self._arguments.deployment} from {replicas} to 0")
        async with self.scalers(client) as known:
            outcome = await self._work(client, client, known).preview(self._settings.watch_namespaces)
        _tell(f"twins: {outcome.twins}; values to give back: {outcome.restored}; twins to let go: {outcome.freed}")
        return 0

    async def _uninstall(self, client: KubeClient) -> int:
        await self._stop_operator(client)
        async with self._leading(client) as elector:
            settings = self._settings
            margin = settings.lease_duration_seconds - settings.renew_deadline_seconds
            fenced = client.fenced(elector.fence, timeout_seconds=min(settings.request_timeout_seconds, margin))
            left = max(0.0, self._deadline - self._clock.monotonic())
            events = ClusterEvents(client, self._clock, instance=settings.identity)
            posting = asyncio.create_task(events.run())
            try:
                async with self.scalers(client) as known:
                    work = self._work(fenced, client, known, events)
                    outcome = await work.run(settings.watch_namespaces, deadline_seconds=left)
                await events.drain(DRAIN_SECONDS)
            finally:
                posting.cancel()
        return _report(outcome)

    async def _stop_operator(self, client: KubeClient) -> None:
        name = self._arguments.deployment
        if not name:
            return
        deployment = self._deployment(client)
        replicas = await deployment.replicas()
        if replicas is None:
            _tell(f"there is no deployment {name} in namespace {self._settings.namespace}: nothing to stop")
        elif replicas:
            await deployment.stop()
            _tell(f"deployment {name} scaled from {replicas} to 0")

    @asynccontextmanager
    async def _leading(self, client: KubeClient) -> AsyncIterator[Elector]:
        """Hold the Lease during the block, so that no operator leads meanwhile."""
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
        elector = Elector(
            leases,
            self._clock,
            PrometheusTelemetry(self._clock),
            times,
            identity=f"uninstall-{settings.identity}"[:253],
        )
        # A lease that is not renewed can be acquired after its duration.
        patience = times.lease_duration + 3 * (times.retry_period + times.request_timeout)
        patience += GRACE_SECONDS if self._arguments.deployment else 0
        electing = asyncio.create_task(elector.run())
        try:
            await asyncio.wait(
                {electing, asyncio.ensure_future(elector.leading.wait())},
                timeout=patience,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not elector.leading.is_set():
                raise InputError(await _lease_holder(leases))
            yield elector
        finally:
            electing.cancel()
            await asyncio.gather(electing, return_exceptions=True)
            await elector.release()

    def _deployment(self, client: KubeClient) -> OperatorDeployment:
        return OperatorDeployment(client, self._settings.namespace, self._arguments.deployment)

    @asynccontextmanager
    async def scalers(self, client: KubeClient) -> AsyncIterator[Scalers]:
        """Watch all HPAs and ScaledObjects during the block, so that they are not listed for each twin.

        Without the right to watch they are listed.
        """
        watching, namespaces = client.for_watches(), self._settings.watch_namespaces
        hpas = HpaCache(watching, self._clock, namespaces, lambda *_: None)
        scaled = ScaledObjectCache(watching, self._clock, namespaces)
        keeping = [asyncio.create_task(kind.watched.run()) for kind in (hpas, scaled)]
        try:
            await asyncio.gather(hpas.watched.first(), scaled.watched.first())
            yield hpas, scaled
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    def _work(
        self, fenced: KubeClient, client: KubeClient, known: Scalers, events: ClusterEvents | None = None
    ) -> Uninstall:
        levers = ClusterLevers(fenced, Discovery(fenced), *known)
        corrections = CorrectionService(levers, self._clock)
        events = events or ClusterEvents(client, self._clock, instance=self._settings.identity)
        return Uninstall(ClusterTwins(fenced, trim=trimmed), levers, corrections, events, self._clock, tell=_tell)


async def _lease_holder(leases: ClusterLeases) -> str:
    try:
        holder = (await leases.get()).holder
    except ClusterError as error:
        return f"the operator's Lease cannot be had: {error}"
    return (
        f"operator {holder!r} leads, and would undo what is done here: scale its Deployment to zero first, "
        "or name it with --deployment"
    )


def _report(outcome: UninstallResult) -> int:
    _tell(f"twins: {outcome.twins}; values given back: {outcome.restored}; twins let go: {outcome.freed}")
    if outcome.complete:
        return 0
    _tell(
        f"not done: {len(outcome.failures)}, see above; no operator was started again: mend it and run this once more"
    )
    return INCOMPLETE


def _tell(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")
    sys.stdout.flush()
