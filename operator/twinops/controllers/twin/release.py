"""Giving back for twins that are being deleted, so that their finalizer can go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from twinops.api import GIVE_BACK_FINALIZER
from twinops.controllers.shared.backoff import Backoff
from twinops.controllers.shared.bodies import read_status
from twinops.controllers.shared.twin_tasks import TwinTasks
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.publish import about
from twinops.core.events import WARNING, Event, of_twin
from twinops.core.state import TwinState
from twinops.errors import Conflict, NotFound, StatusUnreadable, TwinOpsError
from twinops.ports.kubernetes import EventRecorder, TwinRef, Twins
from twinops.ports.process import Clock

log = structlog.get_logger()

DEADLINE = 120.0
"""Seconds after which a twin is let go even though something could not be given back."""

PAUSE = 3.0
LONGEST_PAUSE = 15.0
"""Seconds between two attempts: at first, and after several that failed."""

ATTEMPTS = 5


class Releases:
    """Runs one task per twin that is being deleted while it holds something.

    Args:
        twins: reads twins and takes finalizers off.
        corrections: gives back.
        events: posts what was given back, and what could not be.
        clock: for pauses and the deadline.
        busy: tells by UID whether a sync of the twin runs now; what that is about to write must not be missed.
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
        self._tasks = TwinTasks("release")

    def start(self, ref: TwinRef) -> None:
        """Begin to give back for this twin, unless that is under way."""
        self._tasks.start(ref, self._run)

    async def aclose(self) -> None:
        """Stop what is under way; the next start begins it again."""
        await self._tasks.aclose()

    async def _run(self, ref: TwinRef) -> None:
        deadline = self._clock.monotonic() + DEADLINE
        retries = Backoff(PAUSE, LONGEST_PAUSE)
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
                pause = retries.failed(ref.uid)
            except Exception:  # A task that dies leaves a finalizer that nobody takes off any more.
                log.exception("give back crashed", namespace=ref.namespace, twin=ref.name)
                pause = retries.failed(ref.uid)
            await self._clock.sleep(pause)

    async def _once(self, ref: TwinRef, *, late: bool) -> bool:
        """Give back once; return whether the finalizer is off."""
        body = await self._twins.get(ref)
        try:
            complete = await self._give_back(ref, body)
        except Exception:
            if not late:
                raise
            log.exception("give back crashed", namespace=ref.namespace, twin=ref.name)
            complete = False
        if not complete:
            if not late:
                return False
            await self._tell_left_behind(body)
        await self._let_go(ref, body)
        return True

    async def _give_back(self, ref: TwinRef, body: Mapping[str, Any]) -> bool:
        """Return whether nothing is held any more."""
        state = TwinState.from_status(read_status(body))
        done = await self._corrections.release(ref, state, why="Deleted", now=self._clock.now(), deadline_seconds=20)
        for event in done.events:
            self._events.post(of_twin(event, about(body)))
        return done.complete

    async def _let_go(self, ref: TwinRef, body: Mapping[str, Any]) -> None:
        for _ in range(ATTEMPTS):
            finalizers = [name for name in body["metadata"].get("finalizers") or () if name != GIVE_BACK_FINALIZER]
            try:
                await self._twins.set_finalizers(ref, finalizers, resource_version=body["metadata"]["resourceVersion"])
            except Conflict:
                # The daemon's own finalizer goes at the same moment.
                body = await self._twins.get(ref)
            else:
                return
        raise Conflict("the twin kept changing", status=409)

    async def _tell_left_behind(self, body: Mapping[str, Any]) -> None:
        try:
            originals = read_status(body).originals
            held = ", ".join(f"{o.object.kind} {o.object.name} {o.field}={o.value}" for o in originals)
        except StatusUnreadable as error:
            held = str(error)
        message = f"deleted before these originals could be given back; set them by hand: {held}"
        log.error("given up on giving back", namespace=body["metadata"]["namespace"], held=held)
        self._events.post(Event(about(body), WARNING, "GiveBackFailed", message))
