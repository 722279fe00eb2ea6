"""Writes statuses to the API server: what is new at once, heartbeats as the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import structlog

from twinops.controllers.shared.status_kind import Purpose, ReadObject, StatusKind
from twinops.controllers.shared.write_throttle import INTERNAL_ERROR, PAUSE_SECONDS, WriteThrottle
from twinops.errors import ClusterError, Conflict, LeadershipLost, NotFound, Unavailable
from twinops.ports.kubernetes import ResourceRef, StatusClient
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

Ref = TypeVar("Ref", bound=ResourceRef)


class WriteOutcome(StrEnum):
    """What became of a write."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    """A heartbeat for which the budget leaves no room."""
    CONFLICT = "conflict"
    """Spec or status changed since the sync began: the twin is synced again."""
    GONE = "gone"
    """The object is gone, or another one has its name."""
    UNAVAILABLE = "unavailable"
    """The API server is overloaded or out of reach: the next sync tries again."""
    REFUSED = "refused"
    """The API server rejects this status: a defect, or a missing right."""
    FENCED = "fenced"
    """This process does not lead any more."""


class _Replaced(Conflict):
    """Our status may not replace the one on the API server.

    Args:
        message: why.
        body: the object as it is now.
    """

    def __init__(self, message: str, body: Mapping[str, Any]) -> None:
        super().__init__(message, status=409)
        self.body = body


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to one write.

    Attributes:
        body: the object as written when the outcome is WRITTEN, as it is now when it is CONFLICT; else None.
        as_sent: whether the status in it is exactly the one that was sent, so that it need not be parsed.
    """

    outcome: WriteOutcome
    body: Mapping[str, Any] | None = None
    as_sent: bool = False

    @property
    def written(self) -> bool:
        """Return whether the status is on the API server now."""
        return self.outcome is WriteOutcome.WRITTEN


class HasWriteTime(Protocol):
    """Holds when the status of one object was written last.

    Attributes:
        written_at: monotonic seconds of the last write that succeeded; None before the first one of this process.
    """

    written_at: float | None


class StatusWriter(Generic[Ref]):
    """Writes statuses of one kind within its budget, and only while this process leads.

    Material writes are never held back. A heartbeat is written when the budget leaves room, the object
    that waited longest first, and always before an object's writes lie more than the throttle's
    ``heartbeat_seconds`` (or one interval, if that is longer) apart.

    Args:
        kind: what differs from kind to kind.
        client: reads and writes objects of this kind.
        throttle: budget and pauses of this kind.
        clock: monotonic time, and wall time only to read the last write from a status after a restart.
        telemetry: counts what is written.
        fence: raises LeadershipLost unless this process surely leads.
    """

    def __init__(
        self,
        kind: StatusKind,
        client: StatusClient[Ref],
        throttle: WriteThrottle,
        clock: Clock,
        telemetry: Telemetry,
        *,
        fence: Callable[[], None],
    ) -> None:
        self._kind = kind
        self._client = client
        self._throttle = throttle
        self._clock = clock
        self._telemetry = telemetry
        self._fence = fence

    async def write(
        self,
        ref: Ref,
        read: ReadObject,
        render: Callable[[], Mapping[str, Any]],
        *,
        material: bool,
        interval: float,
        purpose: Purpose = Purpose.OBSERVATION,
        last_write: HasWriteTime | None = None,
    ) -> Written:
        """Write a status, or skip it. Errors of the API server are returned as outcomes, never raised.

        Args:
            ref: whose status.
            read: the object as read when the sync began: its resourceVersion, generation and status count.
            render: returns the new status as JSON, complete (it replaces the old one); called only if it is written.
            material: whether it says something new, by the rules of its kind.
            interval: seconds until the object's next sync.
            purpose: what it is written for.
            last_write: read to space heartbeats, and set by a write that succeeds; None for a kind without heartbeats.
        """
        observing = purpose is Purpose.OBSERVATION
        if material or not observing:
            self._throttle.spend()
        elif not self._throttle.allows_heartbeat(age=self._age(last_write, read), interval=interval):
            return self._count(Written(WriteOutcome.SKIPPED))
        counted_as = purpose.value if not observing else "material" if material else "heartbeat"
        status = render()
        try:
            written = await self._send(ref, read, status, purpose)
        except LeadershipLost:
            return self._count(Written(WriteOutcome.FENCED))
        except _Replaced as replaced:
            return self._count(Written(WriteOutcome.CONFLICT, replaced.body))
        except ClusterError as error:
            return self._count(Written(self._failed(ref, error)))
        if last_write is not None:
            last_write.written_at = self._clock.monotonic()
        self._telemetry.status_written(counted_as)
        return Written(WriteOutcome.WRITTEN, written, (written.get("status") or {}) == status)

    async def _send(self, ref: Ref, read: ReadObject, status: Mapping[str, Any], purpose: Purpose) -> Mapping[str, Any]:
        version = read.resource_version
        try:
            return await self._put(ref, version, status)
        except Unavailable as error:
            if error.status == INTERNAL_ERROR:
                await self._clock.sleep(PAUSE_SECONDS)
            self._throttle.failed(error)
        except Conflict:
            version = await self._reread(ref, read, purpose)
        try:
            return await self._put(ref, version, status)
        except Unavailable as error:
            self._throttle.failed(error)
            raise
        except Conflict as error:
            raise _Replaced("the object keeps changing", await self._client.get(ref)) from error

    async def _reread(self, ref: Ref, read: ReadObject, purpose: Purpose) -> str:
        """Return the resourceVersion as it is now, when the rule of its kind lets our status replace the one there."""
        fresh = await self._client.get(ref)
        reason = self._kind.conflict(read, fresh, purpose)
        if reason:
            raise _Replaced(reason, fresh)
        return str(fresh["metadata"]["resourceVersion"])

    async def _put(self, ref: Ref, version: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        await self._throttle.wait(ref.uid)
        self._fence()
        written = await self._client.write_status(ref, status, resource_version=version)
        self._throttle.succeeded()
        return written

    def _failed(self, ref: Ref, error: ClusterError) -> WriteOutcome:
        match error:
            case NotFound():
                return WriteOutcome.GONE
            case Conflict():
                return WriteOutcome.CONFLICT
            case Unavailable():
                log.warning("status not written", **self._named(ref), error=str(error))
                return WriteOutcome.UNAVAILABLE
            case _:
                log.error("status refused", **self._named(ref), error=str(error))
                return WriteOutcome.REFUSED

    def _named(self, ref: Ref) -> dict[str, str]:
        """Return what names an object in a log line."""
        named = {self._kind.word: ref.name}
        return {"namespace": ref.namespace, **named} if ref.namespace else named

    def _age(self, last_write: HasWriteTime | None, read: ReadObject) -> float:
        """Return seconds since the last write; after a restart from the status; infinity when unknown."""
        if last_write is not None and last_write.written_at is not None:
            return self._clock.monotonic() - last_write.written_at
        try:
            last = datetime.fromisoformat(read.last_write)
        except ValueError:
            return float("inf")
        return max(0.0, self._clock.now() - last.timestamp())

    def _count(self, written: Written) -> Written:
        self._telemetry.status_written(written.outcome.value)
        return written
