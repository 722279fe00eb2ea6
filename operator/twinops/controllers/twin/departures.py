"""Seeing to it that a twin that is being deleted really goes, whatever becomes of kopf's own way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from twinops.api import DAEMON_FINALIZER
from twinops.controllers.shared.backoff import Backoff
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.twin_tasks import TwinTasks
from twinops.errors import NotFound, TwinOpsError
from twinops.ports.kubernetes import TwinRef, Twins
from twinops.ports.process import Clock

log = structlog.get_logger()

PATIENCE = 5.0
"""Seconds between two looks."""

LOOKS = 2
"""So many looks in a row must have found no daemon: unless something fails, kopf has let the twin go by then."""

AT_ONCE = 4
"""Twins that are let go at the same time: where kopf has failed for many, the API server may have a hard time."""

LONGEST_PATIENCE = 30.0
"""Seconds between two attempts of ours that fail, in the end."""


class Departures:
    """Runs one task per twin that is being deleted, until its daemon's finalizer is off.

    kopf takes that off itself, but does so on watch events only: when its request fails, or when it
    has looked before the daemon ended, nothing need ever bring it back, since nothing else happens to
    such a twin. In the usual case the task sleeps once and asks nobody anything.

    Args:
        twins: reads twins and takes finalizers off.
        store: tells which twins are still there.
        clock: for the pauses.
        serves: tells by UID whether the twin's daemon runs; until it has ended the finalizer stays.
    """

    def __init__(self, twins: Twins, store: TwinStore, clock: Clock, *, serves: Callable[[str], bool]) -> None:
        self._twins = twins
        self._store = store
        self._clock = clock
        self._serves = serves
        self._tasks = TwinTasks("departure")
        self._places = asyncio.Semaphore(AT_ONCE)

    def start(self, ref: TwinRef) -> None:
        """Begin to watch over this twin, unless that is under way."""
        if self._held(ref):
            self._tasks.start(ref, self._run)

    async def aclose(self) -> None:
        """Stop what is under way; the next start begins it again."""
        await self._tasks.aclose()

    async def _run(self, ref: TwinRef) -> None:
        looks = 0
        retries = Backoff(PATIENCE, LONGEST_PATIENCE)
        while self._held(ref):
            pause = PATIENCE
            looks = 0 if self._serves(ref.uid) else looks + 1
            if looks > LOOKS:
                async with self._places:
                    # kopf may have done it while this one waited for its place.
                    if not self._held(ref) or await self._let_go(ref):
                        return
                pause = retries.failed(ref.uid)
            await self._clock.sleep(pause)

    def _held(self, ref: TwinRef) -> bool:
        record = self._store.get(ref.uid)
        return record is not None and DAEMON_FINALIZER in record.object.finalizers

    async def _let_go(self, ref: TwinRef) -> bool:
        """Take the finalizer off; return whether it is."""
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
