"""History: each metric's past, read from Prometheus once and then kept up from what syncs gather."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from twinops.core.observation import Floats, Sample, Series
from twinops.errors import MetricsUnavailable, SpecError
from twinops.services.gathering.grid import Grid
from twinops.services.ports import MetricsBackend, RangeAnswer, RangeQuery, SourceAccess

MAX_POINTS = 10_000
"""Slots of history per metric; also what one range query may ask for."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What is known of a twin's past.

    Attributes:
        series: by metric name; it ends at the sync it was asked for, with NaN where nothing is known.
        complete: False while something is still to be read from Prometheus.
    """

    series: Mapping[str, Series]
    complete: bool

    def samples_collected(self, metrics: Sequence[str]) -> int:
        """Return the least number of known values over these metrics; 0 when there are none."""
        counts = (self.series[metric].known if metric in self.series else 0 for metric in metrics)
        return min(counts, default=0)


class HistoryKeeper:
    """Keeps the history of every twin in memory; a restart reads it again.

    Reading happens in the background, for a bounded number of twins at once, so that ten thousand twins
    after a restart neither flood Prometheus nor wait for each other. A sync waits for its own a short
    while; what comes later is there at the next one. A read that fails is tried again at the next sync.

    Args:
        backend: where range queries are sent.
        loads: twins whose history is read at once.
        patience_seconds: how long a sync waits for its history.
    """

    def __init__(self, backend: MetricsBackend, *, loads: int = 4, patience_seconds: float = 3.0) -> None:
        self._backend = backend
        self._places = asyncio.Semaphore(loads)
        self._patience = patience_seconds
        self._twins: dict[str, _Twin] = {}

    async def update(
        self,
        uid: str,
        source: SourceAccess,
        *,
        queries: Mapping[str, str],
        samples: Mapping[str, Sample],
        step: int,
        history_seconds: int,
        now: float,
    ) -> History:
        """Take in what a sync gathered, read what is missing, and return the past as of ``now``.

        The past is read anew when a metric's query (and so its window), the source, the step or the length
        changes. Gaps of more than one step, which long intervals and outages leave, are read from
        Prometheus with the next good sample.

        Args:
            uid: the twin's.
            source: the twin's MetricsSource.
            queries: rendered query by metric; a metric that is left out keeps the past it has.
            samples: by metric; of a metric that is not among them the past is dropped. Only good ones count.
            step: seconds between two entries, see ``plan.sync_step``.
            history_seconds: length of the past; at most ``MAX_POINTS`` steps of it are kept.
            now: Unix seconds; samples count as taken then.
        """
        shape = _Shape.of(source, step, history_seconds)
        twin = self._twins.get(uid)
        if twin is None or twin.shape != shape:
            self.drop(uid)
            twin = self._twins[uid] = _Twin(shape, source, phase=float(int(now)))
        twin.source = source
        twin.take_in(queries, samples, now)
        if twin.wanted() and twin.loading is None:
            twin.loading = asyncio.create_task(self._load(uid, twin))
        if twin.loading is not None:
            await asyncio.wait({twin.loading}, timeout=self._patience)
        return History(
            {metric: track.grid.series() for metric, track in twin.tracks.items()}, complete=not twin.wanted()
        )

    def drop(self, uid: str) -> None:
        """Forget a twin."""
        twin = self._twins.pop(uid, None)
        if twin is not None and twin.loading is not None:
            twin.loading.cancel()

    async def aclose(self) -> None:
        """Forget all twins."""
        running = [twin.loading for twin in self._twins.values() if twin.loading is not None]
        for uid in list(self._twins):
            self.drop(uid)
        await asyncio.gather(*running, return_exceptions=True)

    async def _load(self, uid: str, twin: _Twin) -> None:
        try:
            async with self._places:
                wanted = twin.wanted()
                answers = await self._backend.ranges(twin.source, [one.query for one in wanted])
            for one, answer in zip(wanted, answers, strict=True):
                if answer.error:
                    log.warning("history query failed", twin=uid, metric=one.metric, error=answer.error)
                else:
                    one.take_in(answer)
        except (MetricsUnavailable, SpecError) as error:
            log.warning("history could not be read", twin=uid, error=str(error))
        finally:
            twin.loading = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the whole past of a twin depends on. Credentials do not: tokens change by the hour."""

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    step: int
    size: int

    @classmethod
    def of(cls, source: SourceAccess, step: int, history_seconds: int) -> _Shape:
        headers = tuple(sorted(source.spec.headers.items()))
        return cls(source.name, source.spec.url, headers, step, min(history_seconds // step + 1, MAX_POINTS))


class _Track:
    """One metric's past.

    Attributes:
        covered: the last slot up to which nothing is missing that Prometheus could tell; None at first.
    """

    def __init__(self, promql: str, grid: Grid) -> None:
        self.promql = promql
        self.grid = grid
        self.covered: int | None = None
        self.last_good: int | None = None

    def take_in(self, sample: Sample, slot: int) -> None:
        if self.grid.newest is not None and slot < self.grid.newest:
            # A clock that was ahead has pushed out the oldest part.
            self.covered = self.last_good = None
        self.grid.advance(slot)
        if not sample.actionable or sample.value is None:
            return
        self.grid.put(slot, sample.value)
        self.last_good = slot
        if self.covered is not None and slot <= self.covered + 1:
            self.covered = slot

    def missing_from(self) -> int | None:
        """Return the first slot to be read from Prometheus, None when nothing is."""
        newest = self.grid.newest
        if newest is None:
            return None
        oldest = newest - self.grid.size + 1
        if self.covered is None:
            return oldest
        behind = self.last_good is not None and self.last_good > self.covered + 1
        return max(self.covered + 1, oldest) if behind else None


class _Twin:
    """One twin's past."""

    def __init__(self, shape: _Shape, source: SourceAccess, phase: float) -> None:
        self.shape = shape
        self.source = source
        self.tracks: dict[str, _Track] = {}
        self.loading: asyncio.Task[None] | None = None
        self._phase = phase

    def take_in(self, queries: Mapping[str, str], samples: Mapping[str, Sample], now: float) -> None:
        self.tracks = {metric: track for metric, track in self.tracks.items() if metric in samples}
        for metric, promql in queries.items():
            if metric in samples and (metric not in self.tracks or self.tracks[metric].promql != promql):
                grid = Grid(self.shape.step, self._phase, self.shape.size)
                self.tracks[metric] = _Track(promql, grid)
        for metric, track in self.tracks.items():
            track.take_in(samples[metric], track.grid.slot(now))

    def wanted(self) -> list[_Wanted]:
        found = ((metric, track, track.missing_from()) for metric, track in self.tracks.items())
        return [_Wanted(metric, track, first) for metric, track, first in found if first is not None]


class _Wanted:
    """One range query that is due."""

    def __init__(self, metric: str, track: _Track, first: int) -> None:
        self.metric = metric
        self._track = track
        grid = track.grid
        self._last = first if grid.newest is None else grid.newest
        self.query = RangeQuery(track.promql, grid.time(first), grid.time(self._last), float(grid.step))

    def take_in(self, answer: RangeAnswer) -> None:
        self._track.grid.merge(*_joined(answer))
        newest = self._track.grid.newest
        if newest is not None and self._last <= newest:  # else the clock went back meanwhile: read again
            self._track.covered = max(self._last, self._track.covered or self._last)


def _joined(answer: RangeAnswer) -> tuple[Floats, Floats]:
    """Join the series of a query that gave another one at another time; where two overlap, nothing is known."""
    if not answer.series:
        return np.empty(0), np.empty(0)
    times = np.concatenate([times for times, _values in answer.series])
    values = np.concatenate([values for _times, values in answer.series])
    different, index, count = np.unique(times, return_index=True, return_counts=True)
    return different, np.where(count == 1, values[index], np.nan)
