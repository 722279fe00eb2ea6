"""Posts Kubernetes Events, without ever holding up who posts them.

Core ``v1`` Events with ``count``: every kubectl, dashboard and exporter shows their repeats, which is
not yet so for the ``series`` of ``events.k8s.io/v1``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.event_queue import Allowances, EventQueue, Key, Note
from twinops.adapters.kubernetes.paths import resource_path
from twinops.api import API_VERSION as TWINOPS_API
from twinops.api import GROUP
from twinops.errors import ClusterError, LeadershipLost, NotFound, Unavailable
from twinops.ports.process import Clock
from twinops.printable import printable

log = structlog.get_logger()

CONTROLLER = f"{GROUP}/operator"
"""``reportingComponent`` of every Event."""

REPEAT_SECONDS = 600.0
"""A repeat within this time counts up the Event that stands."""

MESSAGE_LENGTH = 1024
REMEMBERED = 4096
ATTEMPTS = 3
PAUSE_SECONDS = 5.0


@dataclass(slots=True)
class _Posted:
    name: str
    first: float
    last: float
    count: int = 1


class ClusterEvents:
    """Queues Events and posts them one after the other from its own task (``run``).

    Events are best effort: of an object that has too many only some are posted, and when the queue is full the
    oldest one of the namespace that fills it is dropped.

    Args:
        client: the API server.
        clock: wall time for the Events, and for pauses.
        instance: ``reportingInstance``, usually the pod's name.
    """

    def __init__(self, client: KubeClient, clock: Clock, *, instance: str) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance[:128]
        self._queue = EventQueue()
        self._allowances = Allowances()
        self._posted: OrderedDict[Key, _Posted] = OrderedDict()

    async def post(self, involved: Mapping[str, Any], *, kind: str, reason: str, message: str) -> None:
        """Queue an Event about an object; returns at once and never raises.

        Args:
            involved: the object itself, or an ``ObjectReference`` to it.
            kind: ``Normal`` or ``Warning``.
            reason: CamelCase.
            message: what happened; cut at 1024 characters.
        """
        note = Note(reference(involved), kind, reason, shorten(message), self._clock.now())
        if not self._allowances.spend(note.object, self._clock.monotonic()):
            log.debug("event held back, its object has too many", namespace=note.namespace, reason=reason)
            return
        dropped = self._queue.put(note)
        if dropped is not None:
            log.warning("event dropped, the queue is full", namespace=dropped.namespace, reason=dropped.reason)

    async def run(self) -> None:
        """Post what is queued, until cancelled."""
        while True:
            note = await self._queue.get()
            try:
                await self._deliver(note)
            finally:
                self._queue.done()

    async def drain(self, seconds: float) -> None:
        """Wait until everything queued is posted, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            log.warning("events not posted before the end", count=len(self._queue))

    async def _deliver(self, note: Note) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._send(note)
            except Unavailable as error:
                if attempt == ATTEMPTS:
                    log.warning("event not posted", reason=note.reason, error=str(error))
                    return
                pause = 1.0 if error.retry_after is None else error.retry_after
                await self._clock.sleep(min(pause, PAUSE_SECONDS))
            except (ClusterError, LeadershipLost) as error:
                # Refused, above all, when the namespace is going away.
                log.info("event not posted", reason=note.reason, error=str(error))
                return
            else:
                return

    async def _send(self, note: Note) -> None:
        posted = self._posted.get(note.key)
        if posted is not None and note.time - posted.last <= REPEAT_SECONDS:
            try:
                await self._count_up(note, posted)
            except NotFound:
                # Events expire (an hour by default).
                del self._posted[note.key]
            else:
                return
        await self._create(note)

    async def _count_up(self, note: Note, posted: _Posted) -> None:
        path = resource_path("v1", "events", namespace=note.namespace, name=posted.name)
        await self._client.patch(path, {"count": posted.count + note.count, "lastTimestamp": _rfc3339(note.time)})
        posted.count += note.count
        posted.last = note.time

    async def _create(self, note: Note) -> None:
        name = event_name(note.involved, note.key, note.time)
        body = event(note, name, self._instance)
        await self._client.create(resource_path("v1", "events", namespace=note.namespace), body)
        self._posted[note.key] = _Posted(name, note.time, note.time, note.count)
        self._posted.move_to_end(note.key)
        while len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)


def event(note: Note, name: str, instance: str) -> dict[str, Any]:
    """Build the Event."""
    moment = _rfc3339(note.time)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": note.namespace},
        "involvedObject": dict(note.involved),
        "type": note.kind,
        "reason": note.reason,
        "message": note.message,
        "count": note.count,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": CONTROLLER},
        "reportingComponent": CONTROLLER,
        "reportingInstance": instance,
    }


def reference(involved: Mapping[str, Any]) -> dict[str, Any]:
    """Turn an object into an ``ObjectReference``; a reference is returned as it is.

    A body without kind (an item of a list) counts as a DigitalTwin.
    """
    metadata = involved.get("metadata")
    if metadata is None:
        return dict(involved)
    told = {
        "apiVersion": involved.get("apiVersion", TWINOPS_API),
        "kind": involved.get("kind", "DigitalTwin"),
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {key: value for key, value in told.items() if value}


def shorten(message: str) -> str:
    """Make a message printable, and cut it at the length that the API server accepts."""
    return printable(message, MESSAGE_LENGTH)


def event_name(involved: Mapping[str, Any], key: Key, time: float) -> str:
    """Return a name that tells the object, and that no other Event has."""
    digest = hashlib.blake2b("\0".join((*key, repr(time))).encode(), digest_size=8).hexdigest()
    return f"{str(involved.get('name', 'twinops'))[:200].rstrip('.-')}.{digest}"


def _rfc3339(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
