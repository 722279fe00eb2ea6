"""Uninstalling: restores every saved value, and removes the finalizers so that twins can be deleted.

The operator must not run meanwhile: it would add its finalizer and raise again what is restored here.
Preview, run and retries share one view of what a twin holds, so they stay in one module of some 300 lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from twinops.api import DAEMON_FINALIZER, GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.twin.corrections import CorrectionAction, Original
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.twin_body import annotations_of, read_spec, read_status
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.publish import about
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.records import pending
from twinops.core.correction.saved_annotation import recover
from twinops.core.correction.saved_values import key_of, value_to_restore
from twinops.core.events import of_twin
from twinops.core.state import TwinState
from twinops.errors import (
    ClusterError,
    Conflict,
    NotFound,
    Refused,
    SpecError,
    StatusUnreadable,
    TwinOpsError,
    Unavailable,
)
from twinops.ports.kubernetes import EventRecorder, Levers, TwinRef, Twins
from twinops.ports.process import Clock

log = structlog.get_logger()

OURS = frozenset({DAEMON_FINALIZER, GIVE_BACK_FINALIZER})

AT_ONCE = 8
"""Twins that are worked on at the same time."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two attempts: at first, and at most."""

ATTEMPTS = 6
"""Attempts to restore a twin's values when they are refused. While the API server is away, attempts go on."""

RESTORE_SECONDS = 20.0
"""Seconds that one attempt for one twin may take."""

FINALIZER_SECONDS = 20.0
"""Seconds of the deadline that are reserved for removing finalizers, whether or not everything was restored."""


class ListedTwins(Twins, Protocol):
    """Twins that can be listed, too."""

    async def list(self, namespaces: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Return every twin of these namespaces, of all when none is named."""
        ...


@dataclass(slots=True)
class UninstallResult:
    """What was done, or would be, and what could not be.

    Attributes:
        restored: values.
        freed: twins whose finalizers were removed.
        failures: one line each.
    """

    twins: int = 0
    restored: int = 0
    freed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Tell whether nothing is left to do."""
        return not self.failures


class Uninstall:
    """Restores values and removes finalizers, twin by twin. A second run does only what is left.

    Args:
        twins: the twins.
        levers: finds raised values that a status has lost.
        corrections: restores.
        events: posts what was restored, on the twin and on what was changed.
        clock: wall and monotonic time.
        tell: called with one line of text for everything that is done or cannot be.
    """

    def __init__(
        self,
        twins: ListedTwins,
        levers: Levers,
        corrections: CorrectionService,
        events: EventRecorder,
        clock: Clock,
        *,
        tell: Callable[[str], None],
    ) -> None:
        self._twins = twins
        self._levers = levers
        self._corrections = corrections
        self._events = events
        self._clock = clock
        self._tell = tell
        self._places = asyncio.Semaphore(AT_ONCE)

    async def preview(self, namespaces: Sequence[str] = ()) -> UninstallResult:
        """Tell what ``run`` would do, and change nothing.

        Raises:
            ClusterError: twins cannot be listed.
        """
        outcome = UninstallResult()
        for body in await self._list(namespaces):
            outcome.twins += 1
            held, finalizers = await self._held(body), OURS & set(body["metadata"].get("finalizers") or ())
            for original in held:
                self._tell(f"{_name(body)}: would give back {_described(original)}")
            if finalizers:
                self._tell(f"{_name(body)}: would take off {', '.join(sorted(finalizers))}")
            outcome.restored += len(held)
            outcome.freed += bool(finalizers)
        return outcome

    async def run(self, namespaces: Sequence[str] = (), *, deadline_seconds: float) -> UninstallResult:
        """Restore everything and remove every finalizer, within this time.

        Finalizers are removed even from a twin whose values cannot be restored, or it could never be deleted; its
        saved values stay in its status, and are tried again by the next run.

        Args:
            namespaces: whose twins; all when none is named.
            deadline_seconds: for all twins together.

        Raises:
            ClusterError: twins cannot be listed.
        """
        deadline = self._clock.monotonic() + deadline_seconds
        outcome = UninstallResult()
        bodies = await self._list_in_time(namespaces, deadline)
        outcome.twins = len(bodies)
        await asyncio.gather(*(self._uninstall_twin(body, deadline, outcome) for body in bodies))
        return outcome

    async def _held(self, body: Mapping[str, Any]) -> Sequence[Original]:
        try:
            return (await self._with_recovered(body, read_status(body))).originals
        except (StatusUnreadable, Unavailable):
            return ()

    async def _with_recovered(self, body: Mapping[str, Any], status: DigitalTwinStatus) -> DigitalTwinStatus:
        """Return the status, with the saved value recovered where status has lost it.

        Raises:
            Unavailable: the API server did not answer.
        """
        if status.originals or pending(status.corrections) is not None:
            return status
        meta = body["metadata"]
        try:
            spec = _spec_of(body)
            hpa = spec.auto_correction.horizontal_pod_autoscaler_ref
            if spec.source.target_ref is None:
                return status
            lever = await self._levers.find(meta["namespace"], spec.source.target_ref, hpa.name if hpa else None)
        except (SpecError, NotFound, Refused) as error:
            log.debug("nothing to look at", namespace=meta["namespace"], twin=meta["name"], error=str(error))
            return status
        annotation = annotations_of(body).get(ORIGINAL_ANNOTATION, "")
        original = recover(lever, annotation, self._clock.now())
        return status if original is None else status.model_copy(update={"originals": [original]})

    async def _list(self, namespaces: Sequence[str]) -> list[Mapping[str, Any]]:
        try:
            return await self._twins.list(namespaces)
        except NotFound:
            # Without definitions there are no twins.
            return []

    async def _list_in_time(self, namespaces: Sequence[str], deadline: float) -> list[Mapping[str, Any]]:
        for pause in self._pauses(deadline - FINALIZER_SECONDS):
            try:
                return await self._list(namespaces)
            except Unavailable as error:
                log.warning("twins not listed", error=str(error))
                await self._clock.sleep(pause)
        return await self._list(namespaces)

    async def _uninstall_twin(self, body: Mapping[str, Any], deadline: float, outcome: UninstallResult) -> None:
        meta = body["metadata"]
        ref, name = TwinRef(meta["namespace"], meta["name"], meta["uid"]), _name(body)
        async with self._places:
            try:
                outcome.restored += await self._restore(ref, name, deadline - FINALIZER_SECONDS)
            except NotFound:
                return
            except TwinOpsError as error:
                self._fail(outcome, f"{name}: not given back: {error}")
            try:
                outcome.freed += await self._remove_finalizers(ref, name, deadline)
            except TwinOpsError as error:
                self._fail(outcome, f"{name}: finalizers not taken off: {error}")

    async def _restore(self, ref: TwinRef, name: str, deadline: float) -> int:
        """Restore what this twin holds; return how many values.

        Raises:
            TwinOpsError: something is still held. The message names it, with the value to set by hand.
        """
        restored, refusals, trouble = 0, 0, "the time is up"
        held: tuple[Original, ...] = ()
        for pause in self._pauses(deadline):
            try:
                body = await self._twins.get(ref)
                status = await self._with_recovered(body, read_status(body))
                held = tuple(status.originals)
                if not held and pending(status.corrections) is None:
                    return restored
                restored += await self._restore_once(ref, name, body, status)
                known = any(original.ours is not None for original in held)
                # A raise that may still be carried out is waited for; that is no refusal.
                refusals += known
                trouble = "it was refused; the log says why" if known else "a raise may still be carried out"
                if refusals == ATTEMPTS:
                    break
            except (Unavailable, Conflict) as error:
                trouble = str(error)
            await self._clock.sleep(pause)
        left = "; ".join(f"{_described(original)}" for original in held) or "not known what"
        raise ClusterError(f"{left} ({trouble}). Set it by hand")

    async def _restore_once(self, ref: TwinRef, name: str, body: Mapping[str, Any], status: DigitalTwinStatus) -> int:
        """Try once, and write the outcome into status; return how many values were restored."""
        state = TwinState.from_status(status)
        done = await self._corrections.restore_all(
            ref, state, trigger=RestoreTrigger.UNINSTALLED, now=self._clock.now(), deadline_seconds=RESTORE_SECONDS
        )
        for event in done.events:
            self._events.post(of_twin(event, about(body)))
        if done.state != state:
            version = body["metadata"]["resourceVersion"]
            await self._twins.write_status(ref, done.state.to_status(status).to_wire(), resource_version=version)
        left = {key_of(saved) for saved in done.state.saved_values}
        new = [record for record in done.state.corrections if record not in status.corrections]
        attempted = {key_of(record) for record in new if record.action is CorrectionAction.GIVE_BACK}
        # A value that turned out never to have been written was not restored either.
        gone = [
            each
            for each in status.originals
            if (key := key_of(each)) not in left and (each.ours is not None or key in attempted)
        ]
        for original in gone:
            self._tell(f"{name}: gave back {_described(original)}")
        return len(gone)

    async def _remove_finalizers(self, ref: TwinRef, name: str, deadline: float) -> int:
        """Remove both finalizers; return 1 when there was one."""
        trouble: TwinOpsError = ClusterError("the time is up")
        for pause in self._pauses(deadline):
            try:
                meta = (await self._twins.get(ref))["metadata"]
                finalizers = meta.get("finalizers") or ()
                others = [each for each in finalizers if each not in OURS]
                if len(others) == len(finalizers):
                    return 0
                await self._twins.set_finalizers(ref, others, resource_version=meta["resourceVersion"])
            except NotFound:
                return 0
            except (Unavailable, Conflict) as error:
                trouble = error
                await self._clock.sleep(pause)
            else:
                self._tell(f"{name}: let go")
                return 1
        raise trouble

    def _fail(self, outcome: UninstallResult, line: str) -> None:
        outcome.failures.append(line)
        self._tell(line)

    def _pauses(self, deadline: float) -> Iterator[float]:
        """Yield growing pauses, one for each attempt that may begin before the deadline; always at least one."""
        pause = FIRST_PAUSE
        yield pause
        while self._clock.monotonic() < deadline:
            pause = min(2 * pause, LONGEST_PAUSE)
            yield pause


def _spec_of(body: Mapping[str, Any]) -> DigitalTwinSpec:
    spec = read_spec(body)
    if isinstance(spec, SpecError):
        raise spec
    return spec


def _name(body: Mapping[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _described(original: Original) -> str:
    return f"{original.object.kind} {original.object.name} {original.field}={value_to_restore(original)}"
