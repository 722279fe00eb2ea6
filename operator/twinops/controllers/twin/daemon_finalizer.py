"""Takes the daemon's finalizer off twins that are being deleted, where kopf has not done it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from twinops.api import DAEMON_FINALIZER
from twinops.controllers.shared.backoff import Backoff, Failure
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.twin_tasks import TwinTasks
from twinops.errors import NotFound, TwinOpsError
from twinops.ports.kubernetes import TwinRef, Twins
from twinops.ports.process import Clock

log = structlog.get_logger()

PERIOD_SECONDS = 5.0
"""Seconds between two checks."""

CHECKS = 2
"""Checks in a row that must have found no daemon: unless a request failed, the finalizer is off by then."""

AT_ONCE = 4
"""Twins whose finalizer is taken off at the same time; the API server that failed kopf may be overloaded."""


class DaemonFinalizerRemoval:
    """Runs one task per twin that is being deleted, until its daemon's finalizer is off.

    kopf takes the finalizer off itself, but only at a watch event: when its request fails, or when it has checked
    before the daemon ended, there may be no further event of such a twin. In the usual case the task sleeps once and
    sends no request.

    Args:
        twins: reads twins and takes finalizers off.
        store: has the twins that still exist.
        clock: for the pauses.
        has_daemon: returns by UID whether the twin's daemon runs; until it has ended the finalizer stays.
    """

    def __init__(self, twins: Twins, store: TwinStore, clock: Clock, *, has_daemon: Callable[[str], bool]) -> None:
        self._twins = twins
        self._store = store
        self._clock = clock
        self._has_daemon = has_daemon
        self._tasks = TwinTasks("daemon finalizer")
        self._permits = asyncio.Semaphore(AT_ONCE)

    def start(self, ref: TwinRef) -> None:
        """Start the task of this twin, unless it runs already or the finalizer is off."""
        if self._has_finalizer(ref):
            self._tasks.start(ref, self._run)

    async def aclose(self) -> None:
        """Cancel the running tasks; the next start begins them again."""
        await self._tasks.aclose()

    async def _run(self, ref: TwinRef) -> None:
        checks = 0
        backoff = Backoff(ref.uid)
        while self._has_finalizer(ref):
            pause = PERIOD_SECONDS
            checks = 0 if self._has_daemon(ref.uid) else checks + 1
            if checks > CHECKS:
                async with self._permits:
                    # kopf may have done it while this task waited for its permit.
                    if not self._has_finalizer(ref) or await self._remove(ref):
                        return
                pause = backoff.failed(Failure.FINALIZER)
            await self._clock.sleep(pause)

    def _has_finalizer(self, ref: TwinRef) -> bool:
        record = self._store.get(ref.uid)
        return record is not None and DAEMON_FINALIZER in record.object.finalizers

    async def _remove(self, ref: TwinRef) -> bool:
        """Take the finalizer off; return whether it is off."""
        try:
            body = await self._twins.get(ref)
            metadata = body["metadata"]
            finalizers = [name for name in metadata.get("finalizers") or () if name != DAEMON_FINALIZER]
            await self._twins.set_finalizers(ref, finalizers, resource_version=metadata["resourceVersion"])
        except NotFound:
            return True
        except TwinOpsError as error:
            log.warning("deleted twin not let go yet", namespace=ref.namespace, twin=ref.name, error=str(error))
            return False
        log.info("deleted twin let go", namespace=ref.namespace, twin=ref.name)
        return True
