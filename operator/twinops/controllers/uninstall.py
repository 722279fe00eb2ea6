"""Ending TwinOps' work in a cluster: every original goes back, and every twin is free to be deleted.

The operator must not run meanwhile: it would put its finalizer back and raise again what is given back here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from twinops.api import DAEMON_FINALIZER, GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.twin.corrections import CorrectionAction, Original
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.bodies import read_status
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.publish import about
from twinops.core.correction.original_annotation import recovered
from twinops.core.correction.records import pending
from twinops.core.correction.restore import DEFAULTED
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
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0

ATTEMPTS = 6
"""How often it is tried to give a twin's values back when that is refused; an API server that is away is outlasted."""

RELEASE_SECONDS = 20.0

LET_GO_SECONDS = 20.0
"""What is kept of the time for taking finalizers off, whatever became of giving back."""


class ListedTwins(Twins, Protocol):
    """Twins that can be listed, too."""

    async def list(self, namespaces: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Return every twin of these namespaces, of all when none is named."""
        ...


@dataclass(slots=True)
class Outcome:
    """What was done, or would be, and what could not be."""

    twins: int = 0
    given_back: int = 0
    let_go: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Tell whether nothing is left to do."""
        return not self.failures


class Uninstall:
    """Gives back and takes finalizers off, twin by twin. Doing it again does only what is left.

    Args:
        twins: the twins.
        levers: finds what was raised and status knows nothing of.
        corrections: gives back.
        events: posts what was given back, on the twin and on what was changed.
        clock: wall and monotonic time.
        tell: is given one line of text for everything that is done or cannot be.
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

    async def preview(self, namespaces: Sequence[str] = ()) -> Outcome:
        """Tell what ``run`` would do, and change nothing.

        Raises:
            ClusterError: twins cannot be listed.
        """
        outcome = Outcome()
        for body in await self._list(namespaces):
            outcome.twins += 1
            held, finalizers = await self._held(body), OURS & set(body["metadata"].get("finalizers") or ())
            for original in held:
                self._tell(f"{_name(body)}: would give back {_described(original)}")
            if finalizers:
                self._tell(f"{_name(body)}: would take off {', '.join(sorted(finalizers))}")
            outcome.given_back += len(held)
            outcome.let_go += bool(finalizers)
        return outcome

    async def run(self, namespaces: Sequence[str] = (), *, deadline_seconds: float) -> Outcome:
        """Give everything back and let every twin go, within this time.

        A twin whose values cannot be given back is let go all the same, or it could never be deleted; its
        originals stay in its status, and are tried again the next time.

        Args:
            namespaces: whose twins; all when none is named.
            deadline_seconds: for all twins together.

        Raises:
            ClusterError: twins cannot be listed.
        """
        deadline = self._clock.monotonic() + deadline_seconds
        outcome = Outcome()
        bodies = await self._list_in_time(namespaces, deadline)
        outcome.twins = len(bodies)
        await asyncio.gather(*(self._farewell(body, deadline, outcome) for body in bodies))
        return outcome

    async def _held(self, body: Mapping[str, Any]) -> Sequence[Original]:
        try:
            return (await self._found(body, read_status(body))).originals
        except (StatusUnreadable, Unavailable):
            return ()

    async def _found(self, body: Mapping[str, Any], status: DigitalTwinStatus) -> DigitalTwinStatus:
        """Return the status, with the original of a raised value that stands beside it where status has lost it.

        Raises:
            Unavailable: the API server did not answer.
        """
        if status.originals or pending(status.corrections) is not None:
            return status
        meta = body["metadata"]
        try:
            spec = DigitalTwinSpec.from_wire(body.get("spec") or {})
            hpa = spec.auto_correction.horizontal_pod_autoscaler_ref
            if spec.source.target_ref is None:
                return status
            lever = await self._levers.find(meta["namespace"], spec.source.target_ref, hpa.name if hpa else None)
        except (ValidationError, SpecError, NotFound, Refused) as error:
            log.debug("nothing to look at", namespace=meta["namespace"], twin=meta["name"], error=str(error))
            return status
        noted = (meta.get("annotations") or {}).get(ORIGINAL_ANNOTATION, "")
        original = recovered(lever, noted, self._clock.now())
        return status if original is None else status.model_copy(update={"originals": [original]})

    async def _list(self, namespaces: Sequence[str]) -> list[Mapping[str, Any]]:
        try:
            return await self._twins.list(namespaces)
        except NotFound:
            # Without definitions there are no twins.
            return []

    async def _list_in_time(self, namespaces: Sequence[str], deadline: float) -> list[Mapping[str, Any]]:
        for pause in self._pauses(deadline - LET_GO_SECONDS):
            try:
                return await self._list(namespaces)
            except Unavailable as error:
                log.warning("twins not listed", error=str(error))
                await self._clock.sleep(pause)
        return await self._list(namespaces)

    async def _farewell(self, body: Mapping[str, Any], deadline: float, outcome: Outcome) -> None:
        meta = body["metadata"]
        ref, name = TwinRef(meta["namespace"], meta["name"], meta["uid"]), _name(body)
        async with self._places:
            try:
                outcome.given_back += await self._give_back(ref, name, deadline - LET_GO_SECONDS)
            except NotFound:
                return
            except TwinOpsError as error:
                self._fail(outcome, f"{name}: not given back: {error}")
            try:
                outcome.let_go += await self._let_go(ref, name, deadline)
            except TwinOpsError as error:
                self._fail(outcome, f"{name}: finalizers not taken off: {error}")

    async def _give_back(self, ref: TwinRef, name: str, deadline: float) -> int:
        """Give back what this twin holds; return how many values.

        Raises:
            TwinOpsError: something is still held. The message names it, with the value to set by hand.
        """
        given, refusals, trouble = 0, 0, "the time is up"
        held: tuple[Original, ...] = ()
        for pause in self._pauses(deadline):
            try:
                body = await self._twins.get(ref)
                status = await self._found(body, read_status(body))
                held = tuple(status.originals)
                if not held and pending(status.corrections) is None:
                    return given
                given += await self._release(ref, name, body, status)
                known = any(original.ours is not None for original in held)
                # What may still be written late is waited for; that is no refusal.
                refusals += known
                trouble = "it was refused; the log says why" if known else "a raise may still be carried out"
                if refusals == ATTEMPTS:
                    break
            except (Unavailable, Conflict) as error:
                trouble = str(error)
            await self._clock.sleep(pause)
        left = "; ".join(f"{_described(original)}" for original in held) or "not known what"
        raise ClusterError(f"{left} ({trouble}). Set it by hand")

    async def _release(self, ref: TwinRef, name: str, body: Mapping[str, Any], status: DigitalTwinStatus) -> int:
        """Try once, and write down what came of it; return how many values went back."""
        state = TwinState.from_status(status)
        done = await self._corrections.release(
            ref, state, why="Uninstalled", now=self._clock.now(), deadline_seconds=RELEASE_SECONDS
        )
        for event in done.events:
            self._events.post(of_twin(event, about(body)))
        if done.state != state:
            version = body["metadata"]["resourceVersion"]
            await self._twins.write_status(ref, done.state.to_status(status).to_wire(), resource_version=version)
        left = {(original.object, original.field) for original in done.state.originals}
        told = [record for record in done.state.corrections if record not in status.corrections]
        back = {(record.object, record.field) for record in told if record.action is CorrectionAction.GIVE_BACK}
        # What turned out never to have been written was not given back either.
        gone = [
            each
            for each in status.originals
            if (key := (each.object, each.field)) not in left and (each.ours is not None or key in back)
        ]
        for original in gone:
            self._tell(f"{name}: gave back {_described(original)}")
        return len(gone)

    async def _let_go(self, ref: TwinRef, name: str, deadline: float) -> int:
        """Take both finalizers off; return 1 when one was on."""
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

    def _fail(self, outcome: Outcome, line: str) -> None:
        outcome.failures.append(line)
        self._tell(line)

    def _pauses(self, deadline: float) -> Iterator[float]:
        """Yield growing pauses, one for each attempt that may begin before the deadline; always at least one."""
        pause = FIRST_PAUSE
        yield pause
        while self._clock.monotonic() < deadline:
            pause = min(2 * pause, LONGEST_PAUSE)
            yield pause


def _name(body: Mapping[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _described(original: Original) -> str:
    value = DEFAULTED if original.value is None else original.value
    return f"{original.object.kind} {original.object.name} {original.field}={value}"
