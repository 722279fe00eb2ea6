"""The one way in which a status reaches the API server: what is new at once, the rest as the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from twinops.api import GIVE_BACK_FINALIZER
from twinops.core.schedule import fraction
from twinops.core.status.write_budget import WriteBudget
from twinops.errors import ClusterError, Conflict, LeadershipLost, NotFound, Unavailable
from twinops.ports.kubernetes import TwinRef, Twins
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

PATIENCE_SECONDS = 5.0
"""The longest a write waits because the API server asked for a pause."""

PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""The pause after a failure for which the API server named none: the first one, and in the end."""

INTERNAL_ERROR = 500
"""Says that this one object could not be written, because of a webhook for example: others need not pause."""

SPREAD = 0.25
"""Writes that waited for the same pause go on apart by up to this share of it."""


class WriteOutcome(StrEnum):
    """What became of a write."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    """A heartbeat for which the budget leaves no room."""
    CONFLICT = "conflict"
    """Spec or status changed since the sync began: sync again."""
    GONE = "gone"
    UNAVAILABLE = "unavailable"
    """The API server is overloaded or out of reach: the next sync tries again."""
    REFUSED = "refused"
    """The API server does not take this status: a defect, or a missing right."""
    FENCED = "fenced"
    """This process does not lead any more."""


class Purpose(StrEnum):
    """What a status is written for."""

    OBSERVATION = "observation"
    """What a sync has seen: within the budget, onto the spec it was made from."""
    INTENT = "intent"
    """What is about to be changed: at once, onto the spec it was made from, and never onto a twin that goes."""
    OUTCOME = "outcome"
    """What was changed: at once, whatever else has changed meanwhile, since it must be known."""


class _Moved(Conflict):
    """Our status may not replace the one that stands.

    Args:
        message: why.
        body: the twin as it is now.
    """

    def __init__(self, message: str, body: Mapping[str, Any]) -> None:
        super().__init__(message, status=409)
        self.body = body


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to one write.

    Attributes:
        body: the object as written when the outcome is WRITTEN, as it stands when it is CONFLICT.
    """

    outcome: WriteOutcome
    body: Mapping[str, Any] | None = None

    @property
    def written(self) -> bool:
        """Tell whether the status now stands in the cluster."""
        return self.outcome is WriteOutcome.WRITTEN


class StatusWriter:
    """Writes statuses within the budget, and only while this process leads.

    Material writes are never held back. A heartbeat passes when the budget leaves room, the twin
    that waited longest first, and always before a twin's writes lie more than ``heartbeat_seconds``
    (or one interval, if that is longer) apart.

    Args:
        twins: where statuses are written to.
        clock: monotonic time for the budget, wall time only to read ``lastSyncTime`` after a restart.
        telemetry: counts what is written.
        fence: raises LeadershipLost unless this process surely leads.
        per_second: status writes for the whole operator.
        heartbeat_seconds: longest time between two writes of one twin.
    """

    def __init__(
        self,
        twins: Twins,
        clock: Clock,
        telemetry: Telemetry,
        *,
        fence: Callable[[], None],
        per_second: float = 50.0,
        heartbeat_seconds: float = 300.0,
    ) -> None:
        self._twins = twins
        self._clock = clock
        self._telemetry = telemetry
        self._fence = fence
        self._budget = WriteBudget(per_second, heartbeat_seconds, clock.monotonic())
        self._written_at: dict[str, float] = {}
        self._quiet_until = clock.monotonic()
        self._pauses = 0

    def forget(self, uid: str) -> None:
        """Drop what is known of a twin that is gone."""
        self._written_at.pop(uid, None)

    async def write(
        self,
        ref: TwinRef,
        body: Mapping[str, Any],
        status: Mapping[str, Any],
        *,
        material: bool,
        interval: float,
        purpose: Purpose = Purpose.OBSERVATION,
    ) -> Written:
        """Write a status, or leave it for later. Never raises for what the cluster answers.

        Args:
            ref: whose status.
            body: the twin as read when the sync began: its resourceVersion, generation and status count.
            status: the new status as JSON, complete (it replaces the old one).
            material: whether it says something new (``core.status_diff``).
            interval: seconds until the twin's next sync.
            purpose: what it is written for.
        """
        now = self._clock.monotonic()
        observing = purpose is Purpose.OBSERVATION
        if material or not observing:
            self._budget.spend(now)
        elif now < self._quiet_until or not self._budget.allows(now, age=self._age(ref, body, now), interval=interval):
            return self._count(Written(WriteOutcome.SKIPPED))
        kind = purpose.value if not observing else "material" if material else "heartbeat"
        try:
            written = await self._send(ref, body, status, purpose)
        except LeadershipLost:
            return self._count(Written(WriteOutcome.FENCED))
        except _Moved as moved:
            return self._count(Written(WriteOutcome.CONFLICT, moved.body))
        except ClusterError as error:
            return self._count(Written(self._failed(ref, error)))
        self._written_at[ref.uid] = self._clock.monotonic()
        self._telemetry.status_written(kind)
        return Written(WriteOutcome.WRITTEN, written)

    async def _send(
        self, ref: TwinRef, body: Mapping[str, Any], status: Mapping[str, Any], purpose: Purpose
    ) -> Mapping[str, Any]:
        try:
            return await self._put(ref, body, status)
        except Unavailable as error:
            if error.status == INTERNAL_ERROR:
                await self._clock.sleep(PAUSE_SECONDS)
            self._pause(error)
        except Conflict:
            body = await self._reread(ref, body, purpose)
        try:
            return await self._put(ref, body, status)
        except Unavailable as error:
            self._pause(error)
            raise
        except Conflict as error:
            raise _Moved("the twin keeps changing", await self._twins.get(ref)) from error

    async def _reread(self, ref: TwinRef, body: Mapping[str, Any], purpose: Purpose) -> Mapping[str, Any]:
        """Return the twin as it is now, when our status may still replace the one it was made from.

        Raises:
            _Moved: the spec changed, or somebody else wrote the status: another leader, or our own
                write of which no answer came.
        """
        fresh = await self._twins.get(ref)
        if (fresh.get("status") or {}) != (body.get("status") or {}):
            raise _Moved("the status changed since the sync began", fresh)
        if _generation(fresh) != _generation(body) and purpose is not Purpose.OUTCOME:
            raise _Moved("the spec changed since the sync began", fresh)
        if purpose is Purpose.INTENT and not _guarded(fresh):
            raise _Moved("the twin is being deleted, or its finalizer was taken off", fresh)
        return fresh

    async def _put(self, ref: TwinRef, body: Mapping[str, Any], status: Mapping[str, Any]) -> Mapping[str, Any]:
        pause = self._quiet_until - self._clock.monotonic()
        if pause > PATIENCE_SECONDS:
            raise Unavailable("the API server asked for a pause", retry_after=pause)
        if pause > 0:
            await self._clock.sleep(pause * (1 + SPREAD * fraction(ref.uid)))
        self._fence()
        written = await self._twins.write_status(ref, status, resource_version=body["metadata"]["resourceVersion"])
        self._pauses = 0
        return written

    def _pause(self, error: Unavailable) -> None:
        if error.status == INTERNAL_ERROR:
            return
        now = self._clock.monotonic()
        # Writes that were under way together fail together: that is one failure.
        if now >= self._quiet_until:
            self._pauses += 1
        own = min(PAUSE_SECONDS * 2.0 ** min(self._pauses - 1, 10), LONGEST_PAUSE_SECONDS)
        pause = own if error.retry_after is None else error.retry_after
        self._quiet_until = max(self._quiet_until, now + pause)

    def _failed(self, ref: TwinRef, error: ClusterError) -> WriteOutcome:
        match error:
            case NotFound():
                return WriteOutcome.GONE
            case Conflict():
                return WriteOutcome.CONFLICT
            case Unavailable():
                log.warning("status not written", namespace=ref.namespace, twin=ref.name, error=str(error))
                return WriteOutcome.UNAVAILABLE
            case _:
                log.error("status refused", namespace=ref.namespace, twin=ref.name, error=str(error))
                return WriteOutcome.REFUSED

    def _age(self, ref: TwinRef, body: Mapping[str, Any], now: float) -> float:
        """Return seconds since the last write; after a restart by ``lastSyncTime``, without end when unknown."""
        written_at = self._written_at.get(ref.uid)
        if written_at is not None:
            return now - written_at
        try:
            last = datetime.fromisoformat((body.get("status") or {})["lastSyncTime"])
        except (KeyError, TypeError, ValueError):
            return float("inf")
        return max(0.0, self._clock.now() - last.timestamp())

    def _count(self, written: Written) -> Written:
        self._telemetry.status_written(written.outcome.value)
        return written


def _guarded(body: Mapping[str, Any]) -> bool:
    """Tell whether a deletion would wait until what is to be changed is given back."""
    meta = body["metadata"]
    return not meta.get("deletionTimestamp") and GIVE_BACK_FINALIZER in (meta.get("finalizers") or ())


def _generation(body: Mapping[str, Any]) -> Any:
    return body["metadata"].get("generation")
