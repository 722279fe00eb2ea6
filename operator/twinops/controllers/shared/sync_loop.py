"""The life of one twin's daemon: sync, sleep to the next slot, wake early when something asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from twinops.controllers.shared.backoff import Backoff
from twinops.controllers.shared.requester import requested_by
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.core.schedule import SyncStart, sleep_seconds
from twinops.engine.fair_slots import FairSlots, Key
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

log = structlog.get_logger()

DEFAULT_INTERVAL = 60
DEFAULT_SOURCE = "default"

RETRY_AFTER_CRASH = 30.0
LONGEST_RETRY_AFTER_CRASH = 600.0
"""Seconds until a twin is synced again that a defect of ours has stopped: the first time, and in the end."""

PLACE_SECONDS = 1.0
"""A sync that takes longer than this does not work, it waits for others: its place goes to the next twin."""

FINISH_SECONDS = 5.0
"""A daemon that is told to stop may finish its sync for so long before that is cut short."""


class Syncs(Protocol):
    """What a daemon runs."""

    async def sync(self, ref: TwinRef, late_seconds: float) -> float | None:
        """Sync once; return seconds after which to try again when that is sooner than the next slot."""
        ...

    async def crashed(self, ref: TwinRef) -> None:
        """Say in status that a sync has failed for a reason of our own. Never raises."""
        ...

    def forget(self, ref: TwinRef) -> None:
        """Drop what is remembered of a twin whose daemon ends."""
        ...

    def resume(self, ref: TwinRef) -> bool:
        """Take up a twin whose daemon starts, and tell whether its first sync can wait for its slot."""
        ...


class SyncLoop:
    """Runs the daemons.

    Args:
        syncs: does one sync.
        index: where a twin's newest spec is read.
        wakeups: who asks for a sync before the next slot.
        clock: wall and monotonic time.
        watchdog: is told of every tick.
        concurrency: syncs that may work at the same time; those that wait for an answer do not count. The twins
            of one MetricsSource leave a quarter of the places to those of others.
    """

    def __init__(
        self,
        syncs: Syncs,
        index: TwinStore,
        wakeups: WorkQueue,
        clock: Clock,
        watchdog: Watchdog,
        *,
        concurrency: int = 64,
    ) -> None:
        self._syncs = syncs
        self._index = index
        self._wakeups = wakeups
        self._clock = clock
        self._watchdog = watchdog
        self._places = FairSlots(concurrency, spare=(concurrency // 4,))
        self._slow: set[str] = set()
        self._crashes = Backoff(RETRY_AFTER_CRASH, LONGEST_RETRY_AFTER_CRASH)
        self._serving: set[str] = set()

    def serves(self, uid: str) -> bool:
        """Tell whether a daemon of this twin runs."""
        return uid in self._serving

    async def run(self, ref: TwinRef, stop: asyncio.Future[Any]) -> None:
        """Keep one twin in sync until ``stop`` is done, or the twin is no longer there to be synced.

        A sync that is under way when ``stop`` is done may take ``FINISH_SECONDS`` to end.
        """
        living = asyncio.ensure_future(self._live(ref, stop))
        self._serving.add(ref.uid)
        try:
            await asyncio.wait({living, stop}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({living}, timeout=FINISH_SECONDS)
            if not living.done():
                log.info("sync cut short", namespace=ref.namespace, twin=ref.name, why="told to stop")
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            self._serving.discard(ref.uid)
        if not living.cancelled():
            living.result()

    def _lives(self, ref: TwinRef) -> bool:
        """Tell whether the twin is there, and not about to go."""
        body = self._index.body(ref.uid)
        return body is not None and not body["metadata"].get("deletionTimestamp")

    async def _live(self, ref: TwinRef, stop: asyncio.Future[Any]) -> None:
        late = 0.0
        self._watchdog.ticked(ref, self._interval(ref))
        try:
            if self._syncs.resume(ref):
                late = await self._rest(ref, stop, self._until_slot(ref, None))
            while not stop.done() and self._lives(ref):
                last = SyncStart(self._clock.monotonic())
                retry = await self._sync(ref, late)
                wait = self._until_slot(ref, last)
                late = await self._rest(ref, stop, wait if retry is None else min(wait, retry))
        finally:
            self._wakeups.forget(ref.uid)
            self._watchdog.forget(ref)
            self._syncs.forget(ref)
            self._slow.discard(ref.uid)
            self._crashes.forget(ref.uid)

    async def _sync(self, ref: TwinRef, late: float) -> float | None:
        with self._wakeups.running(ref.uid):
            try:
                retry = await self._in_its_turn(ref, late)
            except Exception:  # A daemon that dies is never started again: log, and go on with the next slot.
                log.exception("sync crashed", namespace=ref.namespace, twin=ref.name)
                await self._syncs.crashed(ref)
                return self._crashes.failed(ref.uid)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Something that this sync waited for was cancelled, not the daemon itself.
                log.warning("sync cut short", namespace=ref.namespace, twin=ref.name)
                return self._crashes.failed(ref.uid)
            finally:
                self._watchdog.ticked(ref, self._interval(ref))
            self._crashes.forget(ref.uid)
            return retry

    async def _in_its_turn(self, ref: TwinRef, late: float) -> float | None:
        """Sync in a place, and give that up as soon as the sync turns out to wait for somebody."""
        asked = self._clock.monotonic()
        place = await self._places.take(self._line(ref))
        began = self._clock.monotonic()
        self._watchdog.began(ref)
        lending = asyncio.get_running_loop().call_later(PLACE_SECONDS, place.release)
        try:
            with requested_by(ref):
                return await self._syncs.sync(ref, late + began - asked)
        finally:
            lending.cancel()
            place.release()
            if self._clock.monotonic() - began > PLACE_SECONDS:
                self._slow.add(ref.uid)
            else:
                self._slow.discard(ref.uid)

    def _line(self, ref: TwinRef) -> Key:
        """Return where a twin stands in line: by its source, and there apart from those that keep others waiting."""
        source = (self._spec(ref).get("source") or {}).get("metricsSourceRef") or {}
        return str(source.get("name") or DEFAULT_SOURCE), "slow" if ref.uid in self._slow else "quick"

    def _until_slot(self, ref: TwinRef, last: SyncStart | None) -> float:
        interval = self._interval(ref)
        return sleep_seconds(self._clock.now(), self._clock.monotonic(), last, interval, ref.uid)

    def _interval(self, ref: TwinRef) -> float:
        """Return the interval as it is now: it may change at any time."""
        return float(self._spec(ref).get("syncFrequencySeconds", DEFAULT_INTERVAL))

    def _spec(self, ref: TwinRef) -> Mapping[str, Any]:
        return (self._index.body(ref.uid) or {}).get("spec") or {}

    async def _rest(self, ref: TwinRef, stop: asyncio.Future[Any], seconds: float) -> float:
        """Sleep, and return how many seconds too late the sleep ended."""
        slot = self._clock.monotonic() + seconds
        waking = asyncio.ensure_future(self._wakeups.wait(ref.uid, seconds))
        try:
            await asyncio.wait({waking, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        return max(0.0, self._clock.monotonic() - slot)
