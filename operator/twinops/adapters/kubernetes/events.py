"""Posts Kubernetes Events, without ever holding up who posts them.

Core ``v1`` Events with ``count``: every kubectl, dashboard and exporter shows their repeats, which is
not yet so for the ``series`` of ``events.k8s.io/v1``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.event_queue import Allowances, EventQueue, Key, QueuedEvent
from twinops.adapters.kubernetes.paths import resource_path
from twinops.api import GROUP
from twinops.core.events import Event, InvolvedObject
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

    def post(self, event: Event) -> None:
        """Queue an Event, its message cut at 1024 characters. Returns at once and never raises."""
        queued = QueuedEvent(replace(event, message=shorten(event.message)), self._clock.now())
        if not self._allowances.spend(queued.object, self._clock.monotonic()):
            log.debug("event held back, its object has too many", namespace=queued.namespace, reason=event.reason)
            return
        dropped = self._queue.put(queued)
        if dropped is not None:
            log.warning("event dropped, the queue is full", namespace=dropped.namespace, reason=dropped.event.reason)

    async def run(self) -> None:
        """Post what is queued, until cancelled."""
        while True:
            queued = await self._queue.get()
            try:
                await self._deliver(queued)
            finally:
                self._queue.done()

    async def drain(self, seconds: float) -> None:
        """Wait until everything queued is posted, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            log.warning("events not posted before the end", count=len(self._queue))

    async def _deliver(self, queued: QueuedEvent) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._send(queued)
            except Unavailable as error:
                if attempt == ATTEMPTS:
                    log.warning("event not posted", reason=queued.event.reason, error=str(error))
                    return
                pause = 1.0 if error.retry_after is None else error.retry_after
                await self._clock.sleep(min(pause, PAUSE_SECONDS))
            except (ClusterError, LeadershipLost) as error:
                # Refused, above all, when the namespace is going away.
                log.info("event not posted", reason=queued.event.reason, error=str(error))
                return
            else:
                return

    async def _send(self, queued: QueuedEvent) -> None:
        posted = self._posted.get(queued.key)
        if posted is not None and queued.time - posted.last <= REPEAT_SECONDS:
            try:
                await self._count_up(queued, posted)
            except NotFound:
                # Events expire (an hour by default).
                del self._posted[queued.key]
            else:
                return
        await self._create(queued)

    async def _count_up(self, queued: QueuedEvent, posted: _Posted) -> None:
        path = resource_path("v1", "events", namespace=queued.namespace, name=posted.name)
        await self._client.patch(path, {"count": posted.count + queued.count, "lastTimestamp": _rfc3339(queued.time)})
        posted.count += queued.count
        posted.last = queued.time

    async def _create(self, queued: QueuedEvent) -> None:
        name = event_name(queued.event.about, queued.key, queued.time)
        body = event_body(queued, name, self._instance)
        await self._client.create(resource_path("v1", "events", namespace=queued.namespace), body)
        self._posted[queued.key] = _Posted(name, queued.time, queued.time, queued.count)
        self._posted.move_to_end(queued.key)
        while len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)


def event_body(queued: QueuedEvent, name: str, instance: str) -> dict[str, Any]:
    """Build the Event."""
    event, moment = queued.event, _rfc3339(queued.time)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": queued.namespace},
        "involvedObject": involved_object(event.about),
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "count": queued.count,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": CONTROLLER},
        "reportingComponent": CONTROLLER,
        "reportingInstance": instance,
    }


def involved_object(about: InvolvedObject) -> dict[str, str]:
    """Return the ``ObjectReference`` of an object, without what is not known of it."""
    reference = {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "namespace": about.namespace,
        "name": about.name,
        "uid": about.uid,
        "resourceVersion": about.resource_version,
    }
    return {key: value for key, value in reference.items() if value}


def shorten(message: str) -> str:
    """Make a message printable, and cut it at the length that the API server accepts."""
    return printable(message, MESSAGE_LENGTH)


def event_name(about: InvolvedObject, key: Key, time: float) -> str:
    """Return a name that tells the object, and that no other Event has."""
    digest = hashlib.blake2b("\0".join((*key, repr(time))).encode(), digest_size=8).hexdigest()
    return f"{about.name[:200].rstrip('.-')}.{digest}"


def _rfc3339(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
