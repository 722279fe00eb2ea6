"""Restores what twins that are being deleted hold, so that their finalizer can be removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from twinops.api import GIVE_BACK_FINALIZER
from twinops.controllers.shared.backoff import Backoff, Failure
from twinops.controllers.shared.twin_body import read_status
from twinops.controllers.shared.twin_tasks import TwinTasks
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.publish import about
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.events import WARNING, Event, of_twin
from twinops.core.state import TwinState
from twinops.errors import Conflict, NotFound, StatusUnreadable, TwinOpsError
from twinops.ports.kubernetes import EventRecorder, TwinRef, Twins
from twinops.ports.process import Clock

log = structlog.get_logger()

DEADLINE = 120.0
"""Seconds after which the finalizer is removed even though something could not be restored."""

PAUSE = 3.0
"""Seconds between two attempts, unless one failed."""

ATTEMPTS = 5
"""Writes of the finalizers in all: the daemon removes its own at the same time."""

RESTORE_SECONDS = 20.0
"""Seconds that one attempt to restore may take."""


class DeletionRestores:
    """Runs one task per twin that is being deleted while it holds something.

    Args:
        twins: reads twins and takes finalizers off.
        corrections: restores.
        events: posts what was restored, and what could not be.
        clock: for pauses and the deadline.
        busy: returns by UID whether a sync of the twin runs now: it may be about to write a value.
    """

    def __init__(
        self,
        twins: Twins,
        corrections: CorrectionService,
        events: EventRecorder,
        clock: Clock,
        *,
        busy: Callable[[str], bool],
    ) -> None:
        self._twins = twins
        self._corrections = corrections
        self._events = events
        self._clock = clock
        self._busy = busy
        self._tasks = TwinTasks("restore")

    def start(self, ref: TwinRef) -> None:
        """Begin to restore for this twin, unless that is under way."""
        self._tasks.start(ref, self._run)

    async def aclose(self) -> None:
        """Cancel what is under way; the next start begins it again."""
        await self._tasks.aclose()

    async def _run(self, ref: TwinRef) -> None:
        deadline = self._clock.monotonic() + DEADLINE
        backoff = Backoff(ref.uid)
        while True:
            pause = PAUSE
            late = self._clock.monotonic() >= deadline
            try:
                if (late or not self._busy(ref.uid)) and await self._once(ref, late=late):
                    return
            except NotFound:
                return
            except TwinOpsError as error:
                log.warning("give back failed", namespace=ref.namespace, twin=ref.name, error=str(error))
                pause = backoff.failed(Failure.DELETION)
            except Exception:  # A task that ends leaves a finalizer that nothing removes.
                log.exception("give back crashed", namespace=ref.namespace, twin=ref.name)
                pause = backoff.failed(Failure.DELETION)
            await self._clock.sleep(pause)

    async def _once(self, ref: TwinRef, *, late: bool) -> bool:
        """Try once; return whether the finalizer is removed."""
        body = await self._twins.get(ref)
        try:
            complete = await self._restore(ref, body)
        except Exception:
            if not late:
                raise
            log.exception("give back crashed", namespace=ref.namespace, twin=ref.name)
            complete = False
        if not complete:
            if not late:
                return False
            await self._post_left_behind(body)
        await self._remove_finalizer(ref, body)
        return True

    async def _restore(self, ref: TwinRef, body: Mapping[str, Any]) -> bool:
        """Return whether nothing is held any more."""
        state = TwinState.from_status(read_status(body))
        done = await self._corrections.restore_all(
            ref, state, trigger=RestoreTrigger.DELETED, now=self._clock.now(), deadline_seconds=RESTORE_SECONDS
        )
        for event in done.events:
            self._events.post(of_twin(event, about(body)))
        return done.complete

    async def _remove_finalizer(self, ref: TwinRef, body: Mapping[str, Any]) -> None:
        for _ in range(ATTEMPTS):
            finalizers = [name for name in body["metadata"].get("finalizers") or () if name != GIVE_BACK_FINALIZER]
            try:
                await self._twins.set_finalizers(ref, finalizers, resource_version=body["metadata"]["resourceVersion"])
            except Conflict:
                # The daemon's own finalizer is removed at the same time.
                body = await self._twins.get(ref)
            else:
                return
        raise Conflict("the twin kept changing", status=409)

    async def _post_left_behind(self, body: Mapping[str, Any]) -> None:
        try:
            originals = read_status(body).originals
            held = ", ".join(f"{o.object.kind} {o.object.name} {o.field}={o.value}" for o in originals)
        except StatusUnreadable as error:
            held = str(error)
        message = f"deleted before these originals could be given back; set them by hand: {held}"
        log.error("given up on giving back", namespace=body["metadata"]["namespace"], held=held)
        self._events.post(Event(about(body), WARNING, "GiveBackFailed", message))
