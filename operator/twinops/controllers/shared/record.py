"""One typed record per twin: its object as last read, parsed once, and all that its syncs keep in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twinops.api import ORIGINAL_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.backoff import Backoff, Failure
from twinops.controllers.shared.links import Links, links_of
from twinops.controllers.shared.status_kind import ReadObject
from twinops.controllers.shared.sync_requests import SyncRequests
from twinops.controllers.shared.twin_body import annotations_of, read_spec, read_status
from twinops.core.events import Event, InvolvedObject, about_twin
from twinops.engine.history import TwinHistory
from twinops.errors import SpecError, StatusUnreadable
from twinops.ports.kubernetes import TwinRef

UNREADABLE_INTERVAL = 60.0
"""Seconds; the sync interval of a twin whose spec cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinObject:
    """A twin as it stands on the API server in one resourceVersion.

    Attributes:
        created: ``metadata.creationTimestamp``; empty when there is none.
        deleting: whether ``metadata.deletionTimestamp`` is set.
        request: value of the ``sync-requested-at`` annotation, None when there is none.
        original: the saved value noted in an annotation; empty when there is none.
        spec: as parsed, or what is wrong with it.
        links: which objects it names, corrects, holds and depends on.
        read: what a write of its status must know of it.
    """

    ref: TwinRef
    resource_version: str
    generation: int
    created: str
    deleting: bool
    finalizers: tuple[str, ...]
    request: str | None
    original: str
    spec: DigitalTwinSpec | SpecError
    links: Links
    read: ReadObject

    @property
    def age(self) -> tuple[str, str]:
        """Return what twins are ordered by: the oldest first, those of the same second by UID."""
        return (self.created, self.ref.uid)

    @property
    def interval(self) -> float:
        """Return the seconds between two syncs."""
        return UNREADABLE_INTERVAL if isinstance(self.spec, SpecError) else float(self.spec.sync_frequency_seconds)

    @property
    def source(self) -> str:
        """Return the name of its MetricsSource; empty when the spec cannot be read, since none is asked then."""
        return "" if isinstance(self.spec, SpecError) else self.spec.source.metrics_source_ref.name

    @property
    def about(self) -> InvolvedObject:
        """Return the reference by which an Event names the twin."""
        return about_twin(self.ref.namespace, self.ref.name, self.ref.uid, self.resource_version)


Parsed = DigitalTwinStatus | StatusUnreadable


def ref_of(body: Mapping[str, Any]) -> TwinRef:
    """Return which twin this is the body of."""
    meta = body["metadata"]
    return TwinRef(meta["namespace"], meta["name"], meta["uid"])


def parse_status(body: Mapping[str, Any]) -> Parsed:
    """Return the status, or why it cannot be read."""
    try:
        return read_status(body)
    except StatusUnreadable as error:
        # Without the traceback, which would keep every frame of it alive.
        return StatusUnreadable(str(error))


def parse_object(body: Mapping[str, Any], read: ReadObject, status: Parsed) -> TwinObject:
    """Parse everything of a body but its status.

    Args:
        body: as the API server sent it.
        read: of this body.
        status: the parsed status of this body.
    """
    meta, ref = body["metadata"], ref_of(body)
    spec, annotations = read_spec(body), annotations_of(body)
    held = None if isinstance(status, StatusUnreadable) else [original.object for original in status.originals]
    deleting = bool(meta.get("deletionTimestamp"))
    return TwinObject(
        ref=ref,
        resource_version=read.resource_version,
        generation=meta.get("generation", 0),
        created=str(meta.get("creationTimestamp", "")),
        deleting=deleting,
        finalizers=tuple(meta.get("finalizers") or ()),
        request=annotations.get(SYNC_REQUESTED_ANNOTATION),
        original=annotations.get(ORIGINAL_ANNOTATION, ""),
        spec=spec,
        links=links_of(ref.namespace, spec, held, deleting=deleting),
        read=read,
    )


@dataclass(frozen=True, slots=True)
class WatchedState:
    """What the next watch event about a twin is compared with: spec, sync request and links."""

    generation: int
    request: str | None
    links: Links


@dataclass(slots=True, eq=False)
class DaemonState:
    """What the syncs of a twin keep in memory. A new one is made when the twin's daemon ends.

    Attributes:
        computed: the status as last computed, which may be newer than the one that was written; None before the first
            sync, and after somebody else wrote the status.
        backoff: failures in a row, by kind, and how soon a sync is tried again after them.
        requests: for a sync before the next slot.
        due: monotonic seconds until which the next sync must have ended, by the watchdog; None while no daemon runs.
        found_missing: whether a list of all twins has found it without a daemon.
        waiting: whether a sync waits for a permit.
        synced_generation: of the newest sync; None before the first.
        slow: whether its last sync outlasted its permit; slow twins wait for permits apart from the others.
        pending_events: Events that are posted once a status write succeeds.
        refusal_reported: whether an Event has been posted since the API server began to refuse its status.
        reported_in_progress: ``requests.began`` of the sync for which an Event ``SyncInProgress`` was posted last.
        written_at: monotonic seconds of the last status write that succeeded; None before the first one.
    """

    backoff: Backoff
    computed: DigitalTwinStatus | None = None
    requests: SyncRequests = field(default_factory=SyncRequests)
    due: float | None = None
    found_missing: bool = False
    waiting: bool = False
    synced_generation: int | None = None
    slow: bool = False
    pending_events: tuple[Event, ...] = ()
    refusal_reported: bool = False
    reported_in_progress: float | None = None
    written_at: float | None = None


class TwinRecord:
    """Everything that is kept of one twin.

    Attributes:
        object: the twin as last read.
        watched: what the next watch event is compared with; None before the first one.
        has_daemon: whether a daemon of this twin runs.
        daemon: what its syncs keep in memory.
        history: of its metrics, with the forecaster that was learned from it; None before the first sync that had
            metrics. It is closed when the twin's daemon ends.
    """

    __slots__ = ("_written", "daemon", "has_daemon", "history", "object", "watched")

    def __init__(self, given: TwinObject, written: Parsed) -> None:
        self.object = given
        self.watched: WatchedState | None = None
        self.has_daemon = False
        self.daemon = DaemonState(Backoff(given.ref.uid))
        self.history: TwinHistory | None = None
        self._written = written

    @property
    def ref(self) -> TwinRef:
        """Return the twin's name and UID."""
        return self.object.ref

    @property
    def uid(self) -> str:
        """Return the twin's UID."""
        return self.object.ref.uid

    def update(self, given: TwinObject, written: Parsed) -> None:
        """Replace the object by a newer one, with its parsed status."""
        self.object, self._written = given, written

    def written(self) -> DigitalTwinStatus:
        """Return the status as it stands on the API server.

        Raises:
            StatusUnreadable: its saved values cannot be read.
        """
        if isinstance(self._written, StatusUnreadable):
            raise StatusUnreadable(str(self._written))
        return self._written

    @property
    def parsed(self) -> Parsed:
        """Return the status as it stands on the API server, or why it cannot be read."""
        return self._written

    def compute(self, status: DigitalTwinStatus) -> None:
        """Keep a status as the newest one, whether or not it will be written."""
        self.daemon.computed = status

    def failed(self, what: Failure, *, at_least: float = 0.0) -> float:
        """Count one failure and return the seconds until the next attempt, at least as many as were asked for."""
        return self.daemon.backoff.failed(what, at_least=at_least)

    def succeeded(self, *what: Failure) -> None:
        """Start counting these kinds of failures anew."""
        self.daemon.backoff.succeeded(*what)

    def reset(self) -> None:
        """Drop all that its syncs have kept, cancel its reads, and end a wait for the next sync."""
        self.daemon.requests.close()
        self.daemon = DaemonState(Backoff(self.uid))
        if self.history is not None:
            self.history.close()
            self.history = None
