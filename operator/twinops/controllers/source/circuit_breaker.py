"""A circuit breaker for each MetricsSource, so that not every twin waits in turn for one that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from twinops.api.base import utc
from twinops.core.metrics.queries import InstantAnswer
from twinops.errors import MetricsBusy, MetricsUnavailable
from twinops.ports.metrics import MetricsBackend, RangeAnswer, RangeQuery, SourceAccess
from twinops.ports.process import Clock

log = structlog.get_logger()

SUSPECT_SECONDS = 5.0
"""A source that leaves an instant query without an answer for so long is probed."""

FAILED_PROBES = 2
"""Probes in a row that fail before a circuit opens although no query of a twin has failed."""

_Answers = TypeVar("_Answers")


@dataclass(frozen=True, slots=True)
class _Open:
    """An open circuit.

    Attributes:
        since: Unix seconds.
        why: what the source, or the connection to it, said.
    """

    since: float
    why: str


class CircuitBreakers:
    """Sends queries to sources as long as they answer; satisfies ``MetricsBackend``.

    A circuit opens when queries of twins fail, or wait for long, and a probe of the source fails, too: a twin
    whose own queries are too slow does not close a source to others. While a circuit is open no query is sent,
    and those under way end at once. ``SourceChecks`` goes on probing; the first probe that is answered closes it.

    Args:
        backend: sends the queries.
        clock: wall time.
        suspect: called with the name of a source that should be probed soon.
    """

    def __init__(self, backend: MetricsBackend, clock: Clock, *, suspect: Callable[[str], None]) -> None:
        self._backend = backend
        self._clock = clock
        self._suspect = suspect
        self._open: dict[str, _Open] = {}
        self._suspected: set[str] = set()
        self._failed_probes: dict[str, int] = {}
        self._calls: dict[str, set[asyncio.Future[Any]]] = {}

    async def instant(
        self, source: SourceAccess, queries: Sequence[str], at: float, *, built_in: Collection[str] = ()
    ) -> Sequence[InstantAnswer]:
        """Answer as the backend does, or raise at once while the circuit is open.

        Raises:
            MetricsUnavailable: as the backend does, and while the circuit is open.
        """
        return await self._send(
            source.name,
            lambda: self._backend.instant(source, queries, at, built_in=built_in),
            patience=SUSPECT_SECONDS,
        )

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        """Answer as the backend does, or raise at once while the circuit is open, likewise."""
        # Range queries may wait for long until the backend has a free connection.
        return await self._send(source.name, lambda: self._backend.ranges(source, queries), patience=None)

    def probe_failed(self, name: str, why: str) -> None:
        """Count a probe that was not answered, and open the circuit where that is enough."""
        failed = self._failed_probes[name] = self._failed_probes.get(name, 0) + 1
        if name in self._open or not (name in self._suspected or failed >= FAILED_PROBES):
            return
        self._open[name] = _Open(self._clock.now(), why)
        log.warning("metrics source is not asked until it answers a probe", source=name, error=why)
        for call in tuple(self._calls.get(name, ())):
            call.cancel()

    def probe_answered(self, name: str) -> None:
        """Close the circuit of a source that answered a probe."""
        self._suspected.discard(name)
        self._failed_probes.pop(name, None)
        if self._open.pop(name, None) is not None:
            log.info("metrics source answers again", source=name)

    forget = probe_answered
    """Drop what is known of a source that changed, or is gone."""

    async def _send(self, name: str, query: Callable[[], Awaitable[_Answers]], *, patience: float | None) -> _Answers:
        if name in self._open:
            raise self._refusal(name)
        call = asyncio.ensure_future(query())
        calls = self._calls.setdefault(name, set())
        calls.add(call)
        try:
            done, _ = await asyncio.wait({call}, timeout=patience)
            if not done:
                self._mark_suspected(name)
            answers = await call
        except MetricsBusy:
            raise
        except MetricsUnavailable:
            self._mark_suspected(name)
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if name in self._open and (task is None or not task.cancelling()):
                raise self._refusal(name) from None
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            raise
        finally:
            calls.discard(call)
            if not calls:
                self._calls.pop(name, None)
        self._suspected.discard(name)
        return answers

    def _mark_suspected(self, name: str) -> None:
        self._suspected.add(name)
        self._suspect(name)

    def _refusal(self, name: str) -> MetricsUnavailable:
        circuit = self._open[name]
        return MetricsUnavailable(
            f"metrics source {name} is not asked since {utc(circuit.since):%H:%M:%S} UTC, because it does not answer "
            f"({circuit.why}); it is tried every few seconds, and its twins are synced when it answers"
        )
