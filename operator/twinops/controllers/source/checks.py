"""Probes every MetricsSource from time to time, and writes into its status whether it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from twinops.api.conditions import ConditionType
from twinops.api.source.status import MetricsSourceStatus
from twinops.controllers.shared.backoff import SPREAD, Backoff, Failure
from twinops.controllers.shared.status_kind import ReadObject, StatusKind, unless_changed
from twinops.controllers.shared.status_writer import StatusWriter
from twinops.controllers.source.probe import Prober, Problem, probe
from twinops.core.schedule import fraction
from twinops.core.status.conditions import Conditions
from twinops.engine.fair_semaphore import FairSemaphore
from twinops.errors import ClusterError, NotFound
from twinops.ports.kubernetes import SourceRef, Sources
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

PERIOD_SECONDS = 30.0
DOWN_PERIOD_SECONDS = 5.0
"""A source that cannot be used is checked this often: no watch reports that a Secret was mended."""

CHECK_SOON_SECONDS = 5.0
"""The shortest time between two checks of a source because queries of twins fail."""

CHECKS_AT_ONCE = 16
"""Sources that are checked at the same time; those that did not answer last time take half of the permits at most."""

SOURCE_STATUS = StatusKind("source", unless_changed)
"""How the status writer treats MetricsSources: their statuses are written only when something is new."""


class CheckedSources(Sources, Protocol):
    """Reads MetricsSources."""

    async def read(self, name: str) -> Mapping[str, Any]:
        """Return the source of this name as it is now. Raises NotFound."""
        ...


@dataclass(slots=True, eq=False)
class _Source:
    """One source that is checked.

    Attributes:
        up: whether it answered last time; None before the first check.
        due: monotonic seconds of the next check; None while none is planned.
        checked: monotonic seconds at which the last check ended.
        task: the check that runs, or waits for its permit.
        backoff: failed checks in a row.
    """

    name: str
    up: bool | None = None
    due: float | None = None
    checked: float = 0.0
    task: asyncio.Task[None] | None = None
    backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        """Spread the pauses after failures by the source's name."""
        self.backoff = Backoff(self.name)


class SourceChecks:
    """Checks each source every half minute, more often while it is down, and at once when it changes.

    Checks of different sources run side by side: one that does not answer delays no other.

    Args:
        sources: reads the MetricsSources.
        prober: sends the probes.
        writer: writes their statuses.
        telemetry: publishes which sources answered.
        clock: monotonic time of the checks, wall time of the conditions.
        recovered: called with the name of a source that answers again.
        answered: called with the name of a source that answered, be it with a refusal.
        failed: called with the name of a source that did not answer, and why.
    """

    def __init__(
        self,
        sources: CheckedSources,
        prober: Prober,
        writer: StatusWriter[SourceRef],
        telemetry: Telemetry,
        clock: Clock,
        *,
        recovered: Callable[[str], None],
        answered: Callable[[str], None] = lambda _name: None,
        failed: Callable[[str, str], None] = lambda _name, _why: None,
    ) -> None:
        self._sources = sources
        self._prober = prober
        self._writer = writer
        self._telemetry = telemetry
        self._clock = clock
        self._recovered = recovered
        self._answered = answered
        self._failed = failed
        self._checked: dict[str, _Source] = {}
        self._permits = FairSemaphore(CHECKS_AT_ONCE, spare=(CHECKS_AT_ONCE // 2,))
        self._replanned = asyncio.Event()

    def check_now(self, name: str) -> None:
        """Check this source at once, and regularly from then on."""
        source = self._checked.setdefault(name, _Source(name))
        source.backoff.reset()
        self._plan(source, self._clock.monotonic())

    def check_soon(self, name: str) -> None:
        """Check this source soon, because queries of twins fail; at most every ``CHECK_SOON_SECONDS``."""
        source = self._checked.get(name)
        if source is not None and source.task is None:
            self._plan(source, source.checked + CHECK_SOON_SECONDS)

    def forget(self, name: str) -> None:
        """Stop checking this source."""
        source = self._checked.pop(name, None)
        task = None if source is None else source.task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._telemetry.source_gone(name)

    async def run(self) -> None:
        """Check sources when they are due, until cancelled."""
        try:
            while True:
                self._replanned.clear()
                now = self._clock.monotonic()
                for source in sorted(self._idle(), key=lambda source: source.name):
                    if source.due is not None and source.due <= now:
                        self._start(source)
                due = [source.due for source in self._idle() if source.due is not None]
                try:
                    async with asyncio.timeout(max(0.0, min(due) - now) if due else None):
                        await self._replanned.wait()
                except TimeoutError:
                    continue
        finally:
            tasks = [source.task for source in self._checked.values() if source.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _idle(self) -> list[_Source]:
        return [source for source in self._checked.values() if source.task is None]

    def _plan(self, source: _Source, when: float) -> None:
        source.due = when if source.due is None else min(when, source.due)
        self._replanned.set()

    def _start(self, source: _Source) -> None:
        source.due = None
        source.task = asyncio.create_task(self._run_check(source), name=f"check {source.name}")
        source.task.add_done_callback(lambda _: self._ended(source))

    def _ended(self, source: _Source) -> None:
        source.task = None
        self._replanned.set()

    async def _run_check(self, source: _Source) -> None:
        permit = await self._permits.acquire(("down" if source.up is False else f"source {source.name}",))
        try:
            pause = await self._check(source)
        finally:
            permit.release()
        if self._is_checked(source):
            source.checked = self._clock.monotonic()
            # An earlier time that was planned during the check stands.
            self._plan(source, source.checked + pause)

    def _is_checked(self, source: _Source) -> bool:
        """Tell whether the source has not been forgotten meanwhile."""
        return self._checked.get(source.name) is source

    async def _check(self, source: _Source) -> float:
        """Check once, and return the seconds until the next time."""
        name = source.name
        try:
            body = await self._sources.read(name)
            problem = await probe(name, self._sources, self._prober, self._clock.now())
            if self._is_checked(source):
                self._publish(source, problem)
                if not await self._write_status(name, body, problem):
                    return source.backoff.failed(Failure.PROBE)
        except NotFound:
            self.forget(name)
        except ClusterError as error:
            log.debug("source not checked", source=name, error=str(error))
            # Whether it answers is not known, and what is not known has no series.
            self._telemetry.source_gone(name)
            return source.backoff.failed(Failure.PROBE)
        except Exception:  # One source that answers in an unheard-of way must not end the checks of all others.
            log.exception("source check crashed", source=name)
        else:
            return self._pause(source, problem)
        return PERIOD_SECONDS

    def _publish(self, source: _Source, problem: Problem | None) -> None:
        """Pass on what was found: to telemetry, to the circuit breaker, and to twins that wait for the source."""
        before, source.up = source.up, problem is None
        self._telemetry.source_answered(source.name, up=source.up)
        if problem is not None and problem.silent:
            self._failed(source.name, problem.message)
            return
        self._answered(source.name)
        if source.up and before is False:
            self._recovered(source.name)

    def _pause(self, source: _Source, problem: Problem | None) -> float:
        """Return the seconds until the next check, spread over all sources."""
        if problem is not None and problem.silent:
            return source.backoff.failed(Failure.PROBE)
        source.backoff.reset()
        period = PERIOD_SECONDS if problem is None else DOWN_PERIOD_SECONDS
        return period * (1 - SPREAD * fraction(source.name))

    async def _write_status(self, name: str, body: Mapping[str, Any], problem: Problem | None) -> bool:
        """Write the status where it says something new; return whether it stands in the cluster."""
        before = _read_status(body)
        status = render_source(before, problem, now=self._clock.now(), generation=body["metadata"].get("generation", 0))
        if status == before:
            return True
        ref = SourceRef("", name, body["metadata"]["uid"])
        done = await self._writer.write(
            ref, ReadObject.of(body), status.to_wire, material=True, interval=PERIOD_SECONDS
        )
        return done.written


def render_source(
    before: MetricsSourceStatus, problem: Problem | None, *, now: float, generation: int
) -> MetricsSourceStatus:
    """Return the status of a source that was probed.

    Args:
        before: its last status.
        problem: what is wrong with it, None when it answers.
        now: Unix seconds.
        generation: of its spec.
    """
    conditions = Conditions(before.conditions, now=now, generation=generation)
    if problem is None:
        conditions.set_true(ConditionType.READY, "Answering", "the endpoint answers queries")
    else:
        conditions.set_false(ConditionType.READY, problem.reason, problem.message)
    return MetricsSourceStatus(observed_generation=generation, conditions=conditions.as_list())


def _read_status(body: Mapping[str, Any]) -> MetricsSourceStatus:
    try:
        return MetricsSourceStatus.from_wire(body.get("status") or {})
    except ValidationError:
        return MetricsSourceStatus()
