"""One leader by a ``coordination.k8s.io`` Lease; the others stand by.

The protocol is client-go's (``tools/leaderelection``), so that any Kubernetes tool can read the
Lease. Times of other machines are never compared with ours: a standby takes note of *when it saw*
the lease change, by its own monotonic clock, and takes over once that lies longer ago than the
lease's duration. A leader counts from *before* it sent its last successful renewal and stops after
``renew_deadline``, which is shorter. So clocks may differ by any amount; only their pace must agree
to within ``lease_duration / (renew_deadline + request_timeout)``.

When a standby looks is free: the argument rests on when it saw a change and on how long it waits from then on.
client-go's standbys wait between one and 2.2 retry periods, past the end of a lease, too. Ours look every retry period,
give or take a quarter, and when the lease that they have seen runs out. So a leader that was killed is followed at the
latest after ``1.25 retry_period + lease_duration + 0.25 retry_period`` and two requests: 18 seconds with the default
times, instead of 24.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from twinops.errors import ClusterError, Conflict, LeadershipLost, NotFound
from twinops.ports.kubernetes import LeaseRecord, Leases
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

JITTER = 0.25
"""Each wait of a standby is drawn from this part of a retry period on both sides, so that not all ask at once."""


@dataclass(frozen=True, slots=True)
class ElectionTimes:
    """The times of an election, in seconds.

    Attributes:
        lease_duration: how long standbys wait after the last renewal they saw; whole seconds on the wire.
        renew_deadline: how long a leader that cannot renew goes on.
        retry_period: wait between two attempts.
        request_timeout: longest time for one request.
    """

    lease_duration: int = 15
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    request_timeout: float = 3.0


class Elector:
    """Acquires the lease, renews it, and says before each write whether this process may write.

    Args:
        leases: the Lease.
        clock: monotonic time decides; wall time is only written into the Lease for people to read.
        telemetry: publishes whether this process leads.
        times: durations and time-outs.
        identity: names this process; must be unique, also after a restart.
        chance: returns evenly distributed numbers in [0, 1), for the jitter.
        alive: tells whether the process does its work; one that does not neither acquires nor renews the lease.
    """

    def __init__(
        self,
        leases: Leases,
        clock: Clock,
        telemetry: Telemetry,
        times: ElectionTimes,
        *,
        identity: str,
        chance: Callable[[], float] = random.random,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._telemetry = telemetry
        self._times = times
        self._identity = identity
        self._chance = chance
        self._alive = alive
        self._seen: LeaseRecord | None = None
        self._seen_at = clock.monotonic()
        self._deadline: float | None = None
        self._released = False
        self._doubtful = False
        self.leading = asyncio.Event()
        """Set once this process leads."""
        self.lost = asyncio.Event()
        """Set once this process led and does not any more: it must exit."""

    def fence(self) -> None:
        """Return only while this process surely leads. Call it right before every write, from any thread.

        Raises:
            LeadershipLost: it does not lead, or its last renewal is too long ago to be sure.
        """
        deadline = self._deadline
        if deadline is None or self.lost.is_set():
            raise LeadershipLost(f"{self._identity} does not hold the lease")
        if self._doubtful or self._taken():
            raise LeadershipLost(f"somebody else has written the lease of {self._identity}")
        late = self._clock.monotonic() - deadline
        if late >= 0:
            raise LeadershipLost(f"{self._identity} should have renewed the lease {late:.1f} s ago")

    async def run(self) -> None:
        """Wait until this process leads, then renew until that ends. Returns when leadership is lost or released."""
        log.info("waiting for the lease", identity=self._identity)
        while not (self._alive() and await self._attempt()):
            if self._released:
                return
            await self._clock.sleep(self._standby_wait())
        if not self._released:
            await self._lead()

    def _standby_wait(self) -> float:
        """Return the seconds until a standby's next attempt, which is no later than the end of the lease."""
        period, chance = self._times.retry_period, self._chance()
        wait = period * (1 + JITTER * (2 * chance - 1))
        if self._seen is None:
            return wait
        left = self._runs_out(self._seen) - self._clock.monotonic()
        # A lease that has run out was just asked for in vain: others are after it, or the API server does not answer.
        return min(wait, left + period * JITTER * chance) if left > 0 else wait

    async def release(self) -> None:
        """Stop writing, and release the lease.

        Call it when ``run`` is cancelled and all writes have ended. Never raises: a lease that cannot
        be released expires by itself.
        """
        led = self._deadline is not None and not self.lost.is_set()
        self._released = True
        self._deadline = None
        self._telemetry.leads(leading=False)
        if not led:
            return
        try:
            async with asyncio.timeout(self._times.request_timeout):
                # Read anew: a renewal that was cancelled half-way may have been written.
                record = await self._leases.get()
                if record.holder == self._identity:
                    await self._leases.replace(self._vacant(record))
        except (ClusterError, TimeoutError) as error:
            log.warning("lease not released, it runs out by itself", error=str(error) or "time-out")
        else:
            log.info("lease released", identity=self._identity)

    def _vacant(self, record: LeaseRecord) -> LeaseRecord:
        now = self._clock.now()
        return dataclasses.replace(record, holder="", duration_seconds=1, acquire_time=now, renew_time=now)

    async def _lead(self) -> None:
        log.info("leading", identity=self._identity)
        self._telemetry.leads(leading=True)
        self.leading.set()
        try:
            await self._renew()
        except Exception:
            # Whatever went wrong, this process will not renew any more.
            self._lose()
            raise
        if not self._released:
            self._lose()

    async def _renew(self) -> None:
        while not self._released:
            await self._clock.sleep(self._times.retry_period)
            # Checked first: after a pause of the whole process the lease may be somebody else's already.
            if self._released or self._is_late() or self._taken():
                return
            if not self._alive():
                log.error("the process stands still", identity=self._identity)
                return
            await self._attempt()

    def _lose(self) -> None:
        self.lost.set()
        self._telemetry.leads(leading=False)
        log.error("lease lost", identity=self._identity, holder=self._seen.holder if self._seen else "")

    def _is_late(self) -> bool:
        return self._deadline is None or self._clock.monotonic() >= self._deadline

    def _taken(self) -> bool:
        return self._seen is not None and self._seen.holder != self._identity

    async def _attempt(self) -> bool:
        """Try once to acquire or renew; return whether this process leads now."""
        started = self._clock.monotonic()
        limit = self._times.request_timeout
        if self._deadline is not None:
            limit = min(limit, max(0.0, self._deadline - started))
        try:
            async with asyncio.timeout(limit):
                record = await self._acquire_or_renew()
        except (ClusterError, TimeoutError) as error:
            log.warning("no answer about the lease", error=str(error) or "time-out")
            return False
        if record is None or self._released:
            return False
        self._deadline = started + self._times.renew_deadline
        return True

    async def _acquire_or_renew(self) -> LeaseRecord | None:
        try:
            if self._seen is None or self._seen.holder != self._identity:
                self._note(await self._leases.get())
            if self._seen is None or not self._may_hold(self._seen):
                return None
            written = await self._leases.replace(self._claim(self._seen))
        except NotFound:
            # It may have been deleted while its holder still relies on it: that duration must expire, too.
            if self._seen is not None and not self._may_hold(self._seen):
                return None
            written = await self._leases.create(self._claim(None))
        except Conflict:
            # Somebody wrote it. Until it is known who, nothing may be written; the next attempt decides.
            self._doubtful = True
            self._note(await self._leases.get())
            self._doubtful = False
            return None
        self._note(written)
        self._doubtful = False
        return written

    def _note(self, record: LeaseRecord) -> None:
        """Keep the lease, and when it was last seen to change, by the monotonic clock of this process."""
        if self._seen is None or record.resource_version != self._seen.resource_version:
            self._seen = record
            self._seen_at = self._clock.monotonic()

    def _may_hold(self, record: LeaseRecord) -> bool:
        if record.holder in ("", self._identity):
            return True
        return self._clock.monotonic() >= self._runs_out(record)

    def _runs_out(self, record: LeaseRecord) -> float:
        """Return when the lease as last seen may be taken from its holder, by the monotonic clock."""
        return self._seen_at + record.duration_seconds

    def _claim(self, record: LeaseRecord | None) -> LeaseRecord:
        now = self._clock.now()
        if record is None:
            return LeaseRecord(self._identity, self._times.lease_duration, now, now, 0)
        if record.holder == self._identity:
            return dataclasses.replace(record, renew_time=now, duration_seconds=self._times.lease_duration)
        return LeaseRecord(
            self._identity,
            self._times.lease_duration,
            now,
            now,
            record.transitions + 1,
            record.resource_version,
        )
