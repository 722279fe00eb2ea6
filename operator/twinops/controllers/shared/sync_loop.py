"""The daemon of one twin: sync, sleep until the next slot or until a sync is requested, and again."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Protocol

import structlog

from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.pacing import FirstSyncs
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.core.schedule import SyncStart, sleep_seconds
from twinops.engine.fair_semaphore import FairSemaphore, Key
from twinops.engine.requester import requested_by
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

log = structlog.get_logger()

PERMIT_SECONDS = 1.0
"""A sync that takes longer than this waits for others most of the time: its permit goes to the next twin."""

FINISH_SECONDS = 5.0
"""Seconds that a daemon may take to finish its sync after it was told to stop; then the sync is cancelled."""


class Syncs(Protocol):
    """What a daemon runs."""

    async def sync(self, ref: TwinRef, due: float) -> float | None:
        """Sync once; return seconds after which to try again when that is sooner than the next slot.

        Args:
            ref: the twin.
            due: monotonic seconds of the slot or request that the sync answers, the earliest one that is unanswered.
        """
        ...

    async def crashed(self, ref: TwinRef) -> None:
        """Write into the status that a sync has failed because of a defect. Never raises."""
        ...

    def resume(self, ref: TwinRef) -> bool:
        """Prepare for a twin whose daemon starts, and return whether its first sync can wait for its slot."""
        ...


class SyncLoop:
    """Runs the daemons.

    Args:
        syncs: does one sync.
        store: the records of the twins; what a twin's syncs have kept is forgotten when its daemon ends.
        queue: requests for a sync before the next slot.
        clock: wall and monotonic time.
        watchdog: is called when a sync waits for a permit, when it begins, and when it ends.
        first_syncs: admits the first sync of a twin, and of each new spec.
        concurrency: syncs that may work at the same time; those that wait for an answer do not count. The twins
            of one MetricsSource leave a quarter of the permits to those of others.
    """

    def __init__(
        self,
        syncs: Syncs,
        store: TwinStore,
        queue: WorkQueue,
        clock: Clock,
        watchdog: Watchdog,
        *,
        first_syncs: FirstSyncs,
        concurrency: int = 64,
    ) -> None:
        self._syncs = syncs
        self._store = store
        self._queue = queue
        self._clock = clock
        self._watchdog = watchdog
        self._first_syncs = first_syncs
        self._restarted: set[asyncio.Task[None]] = set()
        self._permits = FairSemaphore(concurrency, spare=(concurrency // 4,))

    def has_daemon(self, uid: str) -> bool:
        """Tell whether a daemon of this twin runs."""
        record = self._store.get(uid)
        return record is not None and record.has_daemon

    def restart(self, ref: TwinRef) -> None:
        """Start a daemon of our own for a twin that has none: the event that starts one was missed, or it has died."""
        task = asyncio.create_task(self.run(ref, asyncio.get_running_loop().create_future()), name=f"sync of {ref.uid}")
        self._restarted.add(task)
        task.add_done_callback(self._restarted.discard)

    async def aclose(self) -> None:
        """Cancel the daemons that were restarted; the others belong to those who run them."""
        tasks = list(self._restarted)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self, ref: TwinRef, stop: asyncio.Future[Any]) -> None:
        """Keep one twin in sync until ``stop`` is done, or the twin is gone or being deleted, or has a daemon already.

        A sync that is under way when ``stop`` is done may take ``FINISH_SECONDS`` to end.
        """
        record = self._store.get(ref.uid)
        if record is None or record.has_daemon:
            return
        loop = asyncio.get_running_loop()
        record.has_daemon = True
        try:
            async with asyncio.timeout(None) as limit:

                def told_to_stop(_: asyncio.Future[Any]) -> None:
                    record.daemon.requests.close()
                    limit.reschedule(loop.time() + FINISH_SECONDS)

                stop.add_done_callback(told_to_stop)
                try:
                    await self._run(record, stop)
                finally:
                    stop.remove_done_callback(told_to_stop)
        except TimeoutError:
            log.info("sync cut short", namespace=ref.namespace, twin=ref.name, why="told to stop")
        finally:
            record.has_daemon = False
            # Also where the twin was dropped during its sync: what that sync has kept since.
            self._store.forget(record)

    def _is_due(self, record: TwinRecord) -> bool:
        """Tell whether the twin exists and is not being deleted."""
        return self._store.get(record.ref.uid) is record and not record.object.deleting

    async def _run(self, record: TwinRecord, stop: asyncio.Future[Any]) -> None:
        due = self._clock.monotonic()
        self._watchdog.ended(record)
        if self._syncs.resume(record.ref):
            due = await self._sleep(record, self._until_slot(record, None))
        while not stop.done() and self._is_due(record):
            last = SyncStart(self._clock.monotonic())
            slot = last.monotonic + self._until_slot(record, last)
            retry = await self._sync(record, due)
            # A slot that came while the twin waited or synced is answered by the next sync only.
            missed = slot if slot < self._clock.monotonic() else math.inf
            wait = self._until_slot(record, last)
            due = min(missed, await self._sleep(record, wait if retry is None else min(wait, retry)))

    async def _sync(self, record: TwinRecord, due: float) -> float | None:
        ref = record.ref
        with self._queue.running(record):
            try:
                retry = await self._admitted(record, due)
            except Exception:  # A daemon that dies is never started again: log, and go on with the next slot.
                log.exception("sync crashed", namespace=ref.namespace, twin=ref.name)
                await self._syncs.crashed(ref)
                return record.failed(Failure.CRASH)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Something that this sync waited for was cancelled, not the daemon itself.
                log.warning("sync cut short", namespace=ref.namespace, twin=ref.name)
                return record.failed(Failure.CRASH)
            finally:
                self._watchdog.ended(record)
            record.succeeded(Failure.CRASH)
            return retry

    async def _admitted(self, record: TwinRecord, due: float) -> float | None:
        """Sync; a first sync when it is admitted."""
        self._watchdog.waits(record)
        generation = record.object.generation
        if record.daemon.synced_generation == generation:
            return await self._sync_with_permit(record, due)
        async with self._first_syncs.place(record.object.source):
            try:
                return await self._sync_with_permit(record, due)
            finally:
                record.daemon.synced_generation = generation

    async def _sync_with_permit(self, record: TwinRecord, due: float) -> float | None:
        """Sync with a permit, and release that after ``PERMIT_SECONDS``, when the sync turns out to wait for others."""
        permit = await self._permits.acquire(_permit_key(record))
        began = self._clock.monotonic()
        self._watchdog.began(record)
        lending = asyncio.get_running_loop().call_later(PERMIT_SECONDS, permit.release)
        try:
            with requested_by(record.ref):
                return await self._syncs.sync(record.ref, due)
        finally:
            lending.cancel()
            permit.release()
            record.daemon.slow = self._clock.monotonic() - began > PERMIT_SECONDS

    def _until_slot(self, record: TwinRecord, last: SyncStart | None) -> float:
        # The interval as it is now: it may change at any time.
        interval, uid = record.object.interval, record.ref.uid
        return sleep_seconds(self._clock.now(), self._clock.monotonic(), last, interval, uid)

    async def _sleep(self, record: TwinRecord, seconds: float) -> float:
        """Sleep until a request, the end of the daemon, or so many seconds are over; return when a sync was due."""
        slot = self._clock.monotonic() + seconds
        requested = await self._queue.wait(record, seconds)
        return slot if requested is None else min(slot, record.daemon.requests.due)


def _permit_key(record: TwinRecord) -> Key:
    """Return what permits are shared by: the twin's source, and whether the twin is new or its last sync was slow."""
    daemon = record.daemon
    kind = "first" if daemon.synced_generation is None else "slow" if daemon.slow else "quick"
    return record.object.source, kind
