"""Whether each MetricsSource answers, in its own status: what an administrator looks at first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from twinops.api.conditions import ConditionType
from twinops.api.source.status import MetricsSourceStatus
from twinops.controllers.shared.backoff import SPREAD, Backoff
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.core.schedule import fraction
from twinops.core.status.conditions import Conditions
from twinops.engine.fair_slots import FairSlots
from twinops.errors import ClusterError, MetricsUnavailable, NotFound, SpecError
from twinops.ports.metrics import SourceAccess
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

PERIOD_SECONDS = 30.0
DOWN_PERIOD_SECONDS = 5.0
"""A source that cannot be used is looked at this often: a mended Secret tells nobody."""

LONGEST_DOWN_SECONDS = 15.0
"""One that does not answer is looked at less and less often, and this often at least."""

DOUBT_SECONDS = 5.0
"""A source of which twins complain is looked at out of turn, this often at most."""

PROBE_SECONDS = 10.0
"""A source that takes longer for a probe does not answer, however long its queries may take."""

CHECKS_AT_ONCE = 16
"""Sources that are looked at at the same time; those that are known not to answer take half of these at most."""

PROBE = "vector(1)"
"""Needs no series at all, so that only the endpoint itself is tested."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a source cannot be used.

    Attributes:
        silent: it did not answer; else there is something that a person must mend.
    """

    reason: str
    message: str
    silent: bool


class CheckedSources(Protocol):
    """Reads MetricsSources and writes their status."""

    async def access(self, name: str) -> SourceAccess:
        """Return the source with its credentials. Raises SpecError when it cannot be used."""
        ...

    async def get(self, name: str) -> Mapping[str, Any]:
        """Return the source as it is now. Raises NotFound."""
        ...

    async def write_status(
        self, name: str, status: MetricsSourceStatus, *, uid: str, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace the status. Raises Conflict when the source changed."""
        ...


class Prober(Protocol):
    """Asks a source something small, however busy its connections are."""

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer every query. Raises MetricsUnavailable and SpecError as ``MetricsBackend`` does."""
        ...


class SourceChecks:
    """Asks every source something small every half minute, more often while it is down, at once when it changes.

    Sources are asked side by side: none waits for another that does not answer.

    Args:
        sources: the MetricsSources.
        prober: asks them.
        telemetry: learns which answered.
        clock: wall time for the conditions.
        recovered: called with the name of a source that answers again.
        answered: called with the name of a source that answered, be it with a refusal.
        failed: called with the name of one that did not, and why.
    """

    def __init__(
        self,
        sources: CheckedSources,
        prober: Prober,
        telemetry: Telemetry,
        clock: Clock,
        *,
        recovered: Callable[[str], None],
        answered: Callable[[str], None] = lambda _name: None,
        failed: Callable[[str, str], None] = lambda _name, _why: None,
    ) -> None:
        self._sources = sources
        self._prober = prober
        self._telemetry = telemetry
        self._clock = clock
        self._recovered = recovered
        self._answered = answered
        self._failed = failed
        self._up: dict[str, bool | None] = {}
        self._due: dict[str, float] = {}
        self._checked: dict[str, float] = {}
        self._retries = Backoff(DOWN_PERIOD_SECONDS / (1 + SPREAD), LONGEST_DOWN_SECONDS / (1 + SPREAD))
        self._running: dict[str, asyncio.Task[None]] = {}
        self._places = FairSlots(CHECKS_AT_ONCE, spare=(CHECKS_AT_ONCE // 2,))
        self._hurry = asyncio.Event()

    def seen(self, name: str) -> None:
        """Check this source from now on, and now."""
        self._up.setdefault(name, None)
        self._retries.forget(name)
        self._look_at(name, self._clock.monotonic())

    def doubt(self, name: str) -> None:
        """Check this source soon: twins complain of it."""
        if name in self._up and name not in self._running:
            self._look_at(name, self._checked.get(name, 0.0) + DOUBT_SECONDS)

    def gone(self, name: str) -> None:
        """Stop checking this source."""
        for known in (self._up, self._due, self._checked):
            known.pop(name, None)
        self._retries.forget(name)
        running = self._running.pop(name, None)
        if running is not None and running is not asyncio.current_task():
            running.cancel()
        self._telemetry.source_gone(name)

    async def run(self) -> None:
        """Check for ever."""
        try:
            while True:
                self._hurry.clear()
                now = self._clock.monotonic()
                for name in sorted(name for name, due in self._due.items() if due <= now):
                    if name not in self._running:
                        self._start(name)
                waiting = [due for name, due in self._due.items() if name not in self._running]
                try:
                    async with asyncio.timeout(max(0.0, min(waiting) - now) if waiting else None):
                        await self._hurry.wait()
                except TimeoutError:
                    continue
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _look_at(self, name: str, when: float) -> None:
        self._due[name] = min(when, self._due.get(name, when))
        self._hurry.set()

    def _start(self, name: str) -> None:
        del self._due[name]
        task = self._running[name] = asyncio.create_task(self._in_its_turn(name), name=f"check {name}")
        task.add_done_callback(lambda _: self._ended(name, task))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._running.get(name) is task:
            del self._running[name]
            self._hurry.set()

    async def _in_its_turn(self, name: str) -> None:
        place = await self._places.take(("down" if self._up.get(name) is False else f"source {name}",))
        try:
            pause = await self._check(name)
        finally:
            place.release()
        if name in self._up:
            now = self._checked[name] = self._clock.monotonic()
            # Whoever asked for another look meanwhile has set a time already.
            self._look_at(name, now + pause)

    async def _check(self, name: str) -> float:
        """Check once, and return the seconds until the next time."""
        probed = False
        try:
            body = await self._sources.get(name)
            problem = await self._probe(name)
            probed = True
            before = self._up.get(name, False)
            if name in self._up:
                self._up[name] = problem is None
                self._telemetry.source_answered(name, up=problem is None)
                self._spread(name, before, problem)
                await self._tell(name, body, problem)
        except NotFound:
            self.gone(name)
        except ClusterError as error:
            log.debug("source not checked", source=name, error=str(error))
            if not probed:
                # Whether it answers is not known, and what is not known has no series.
                self._telemetry.source_gone(name)
            return self._retries.failed(name)
        except Exception:  # One source that answers in an unheard-of way must not end the checks of all others.
            log.exception("source check crashed", source=name)
        else:
            return self._next(name, problem)
        return PERIOD_SECONDS

    def _spread(self, name: str, before: bool | None, problem: _Problem | None) -> None:  # noqa: FBT001 - a state
        """Tell others what was found."""
        if problem is not None and problem.silent:
            self._failed(name, problem.message)
            return
        self._answered(name)
        if problem is None and before is False:
            self._recovered(name)

    def _next(self, name: str, problem: _Problem | None) -> float:
        """Return the seconds until the next check, spread over all sources."""
        if problem is not None and problem.silent:
            return self._retries.failed(name)
        self._retries.forget(name)
        period = PERIOD_SECONDS if problem is None else DOWN_PERIOD_SECONDS
        return period * (1 - SPREAD * fraction(name))

    async def _probe(self, name: str) -> _Problem | None:
        """Return what is wrong with a source, None when it answers."""
        try:
            access = await self._sources.access(name)
            async with asyncio.timeout(PROBE_SECONDS):
                answer = (await self._prober.instant(access, [PROBE], self._clock.now()))[0]
        except SpecError as error:
            return _Problem(error.reason, str(error), silent=False)
        except MetricsUnavailable as error:
            return _Problem("MetricsBackendUnavailable", str(error), silent=True)
        except TimeoutError:
            why = f"metrics source {name}: no answer to {PROBE} within {PROBE_SECONDS:.0f} s"
            return _Problem("MetricsBackendUnavailable", why, silent=True)
        # Whether all stores behind it answer, too, is told by each metric.
        if answer.error and answer.error != PARTIAL:
            return _Problem("QueryRefused", f"the endpoint refuses {PROBE}: {answer.error}", silent=False)
        return None

    async def _tell(self, name: str, body: Mapping[str, Any], problem: _Problem | None) -> None:
        meta = body["metadata"]
        before = _status_of(body)
        conditions = Conditions(before.conditions, now=self._clock.now(), generation=meta.get("generation", 0))
        if problem is None:
            conditions.yes(ConditionType.READY, "Answering", "the endpoint answers queries")
        else:
            conditions.no(ConditionType.READY, problem.reason, problem.message)
        status = MetricsSourceStatus(observed_generation=meta.get("generation", 0), conditions=conditions.listed())
        if status != before:
            await self._sources.write_status(name, status, uid=meta["uid"], resource_version=meta["resourceVersion"])


def _status_of(body: Mapping[str, Any]) -> MetricsSourceStatus:
    try:
        return MetricsSourceStatus.from_wire(body.get("status") or {})
    except ValidationError:
        return MetricsSourceStatus()
