"""One typed record per twin: its object as last read, parsed once, and all that its syncs keep in memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twinops.api import ORIGINAL_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.bodies import annotations_of, read_spec, read_status
from twinops.controllers.shared.links import Links, links_of
from twinops.core.events import Event, InvolvedObject, about_twin
from twinops.engine.history import TwinHistory
from twinops.errors import SpecError, StatusUnreadable
from twinops.ports.kubernetes import TwinRef

UNREADABLE_INTERVAL = 60.0
"""Seconds; the sync interval of a twin whose spec cannot be read."""

MAX_REASONS = 4
"""How many different reasons for one sync are remembered."""


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
        raw_status: the status as JSON, shared with the body that was given; empty when there is none.
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
    raw_status: Mapping[str, Any]

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

    def body(self) -> dict[str, Any]:
        """Return what a write needs of it, in the form of a Kubernetes object without spec."""
        metadata = {
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "uid": self.ref.uid,
            "resourceVersion": self.resource_version,
            "generation": self.generation,
            "finalizers": list(self.finalizers),
        }
        return {"metadata": metadata, "status": self.raw_status}


Parsed = DigitalTwinStatus | StatusUnreadable


def ref_of(body: Mapping[str, Any]) -> TwinRef:
    """Return whose body this is."""
    meta = body["metadata"]
    return TwinRef(meta["namespace"], meta["name"], meta["uid"])


def parse_status(body: Mapping[str, Any]) -> Parsed:
    """Return the status, or why it cannot be read."""
    try:
        return read_status(body)
    except StatusUnreadable as error:
        # Without the traceback, which would keep every frame of it alive.
        return StatusUnreadable(str(error))


def parse_object(body: Mapping[str, Any], status: Parsed) -> TwinObject:
    """Read everything of a body but its status.

    Args:
        body: as the API server sent it.
        status: the parsed status of this body.
    """
    meta, ref = body["metadata"], ref_of(body)
    spec, annotations = read_spec(body), annotations_of(body)
    held = None if isinstance(status, StatusUnreadable) else [original.object for original in status.originals]
    deleting = bool(meta.get("deletionTimestamp"))
    return TwinObject(
        ref=ref,
        resource_version=meta.get("resourceVersion", ""),
        generation=meta.get("generation", 0),
        created=str(meta.get("creationTimestamp", "")),
        deleting=deleting,
        finalizers=tuple(meta.get("finalizers") or ()),
        request=annotations.get(SYNC_REQUESTED_ANNOTATION),
        original=annotations.get(ORIGINAL_ANNOTATION, ""),
        spec=spec,
        links=links_of(ref.namespace, spec, held, deleting=deleting),
        raw_status=body.get("status") or {},
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What the next watch event about a twin is compared with."""

    generation: int
    request: str | None
    links: Links


@dataclass(slots=True, eq=False)
class WakeUp:
    """The requests for a sync that wait to be answered.

    Attributes:
        reasons: why a sync was requested, a few words each; empty when none is.
        due: monotonic seconds of the requested sync.
        syncing: whether a sync runs now.
        began: monotonic seconds when the newest sync began.
        waiter: done when a request arrives, or the twin's daemon has ended; None while nobody waits.
        over: whether the daemon has ended.
    """

    reasons: tuple[str, ...] = ()
    due: float = 0.0
    syncing: bool = False
    began: float = -math.inf
    waiter: asyncio.Future[None] | None = None
    over: bool = False

    def ask(self, why: str, due: float) -> None:
        """Add a request; the earliest of several decides when."""
        self.due = min(self.due, due) if self.reasons else due
        if why not in self.reasons and len(self.reasons) < MAX_REASONS:
            self.reasons = (*self.reasons, why)
        self._notify()

    def answered(self) -> str:
        """Take all requests away, and return their reasons."""
        why = ", ".join(self.reasons)
        self.reasons = ()
        return why

    def end(self) -> None:
        """Take all requests away, and end a wait that is under way."""
        self.reasons, self.over = (), True
        self._notify()

    async def wait(self, seconds: float) -> None:
        """Sleep until the next request, at most so long."""
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self.waiter
        except TimeoutError:
            return
        finally:
            self.waiter = None

    def _notify(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


@dataclass(slots=True, eq=False)
class DaemonState:
    """What the syncs of a twin hand on in memory. It begins anew when the twin's daemon ends.

    Attributes:
        computed: the status as last computed, which may be newer than the one that was written; None before the first
            sync, and after somebody else wrote the status.
        failures: failures in a row, by kind.
        due: monotonic seconds before which the watchdog expects the next tick; None while no daemon runs.
        slow: whether its last sync took so long that it waits in a line of its own.
        untold: Events that wait for a status write to succeed.
        refusal_told: whether an Event told that the API server refuses its status.
        busy_told: when the sync began during which an Event last told that one is in progress.
        written_at: monotonic seconds of the last status write that succeeded; None before the first one.
    """

    computed: DigitalTwinStatus | None = None
    failures: dict[Failure, int] = field(default_factory=dict)
    wake_up: WakeUp = field(default_factory=WakeUp)
    due: float | None = None
    slow: bool = False
    untold: tuple[Event, ...] = ()
    refusal_told: bool = False
    busy_told: float | None = None
    written_at: float | None = None


class TwinRecord:
    """Everything that is kept of one twin.

    Attributes:
        object: the twin as last read.
        seen: what the next watch event is compared with; None before the first one.
        serving: whether a daemon of this twin runs.
        daemon: what its syncs hand on.
        history: of its metrics, with the forecaster that was learned from it; None before the first sync that had
            metrics. It is closed when the twin's daemon ends.
    """

    __slots__ = ("_written", "daemon", "history", "object", "seen", "serving")

    def __init__(self, given: TwinObject, written: Parsed) -> None:
        self.object = given
        self.seen: Seen | None = None
        self.serving = False
        self.daemon = DaemonState()
        self.history: TwinHistory | None = None
        self._written: Parsed | None = written

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
        parsed = self._parsed()
        if isinstance(parsed, StatusUnreadable):
            raise StatusUnreadable(str(parsed))
        return parsed

    def known(self) -> Parsed | None:
        """Return the parsed status of ``object`` where it is at hand."""
        return self._written

    def compute(self, status: DigitalTwinStatus) -> None:
        """Take a status for what is known from now on, whether or not it will be written.

        Where it is not written, the parsed form of the one that was is let go: two of them would take twice the
        memory. The next sync parses it again.
        """
        self.daemon.computed = status
        if self._written is not status:
            self._written = None

    def failed(self, what: Failure, *, at_least: float = 0.0) -> float:
        """Count one failure and return the seconds until the next attempt, at least as many as were asked for."""
        count = self.daemon.failures.get(what, 0)
        self.daemon.failures[what] = count + 1
        return what.pause_seconds(self.ref.uid, count, at_least=at_least)

    def succeeded(self, *what: Failure) -> None:
        """Start counting these kinds of failures anew."""
        for one in what:
            self.daemon.failures.pop(one, None)

    def reset(self) -> None:
        """Drop all that its syncs have handed on, cancel its reads, and end a wait for the next sync."""
        self.daemon.wake_up.end()
        self.daemon = DaemonState()
        if self.history is not None:
            self.history.close()
            self.history = None

    def _parsed(self) -> Parsed:
        if self._written is not None:
            return self._written
        parsed = parse_status(self.object.body())
        if self.daemon.computed is None:
            self._written = parsed
        return parsed
