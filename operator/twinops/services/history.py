"""History: each metric's past, read from Prometheus once and then kept up from what syncs gather."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from twinops.core.observation import Sample, Series
from twinops.errors import MetricsUnavailable, SpecError
from twinops.services.gathering.past import Shape, Twin, Wanted
from twinops.services.ports import MetricsBackend, SourceAccess

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What is known of a twin's past.

    Attributes:
        series: by metric name; it ends at the sync it was asked for, with NaN where nothing is known.
        complete: False while something that can be had is still to be read from Prometheus.
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
    while, unless many others stand in line; what comes later is there at the next one. A read that fails
    is tried again after a pause that grows, by itself, and for less at once.

    Args:
        backend: where range queries are sent.
        loads: twins whose history is read at once; syncs of as many more wait for their turn.
        patience_seconds: how long a sync waits for its history.
    """

    def __init__(self, backend: MetricsBackend, *, loads: int = 4, patience_seconds: float = 3.0) -> None:
        self._backend = backend
        self._places = asyncio.Semaphore(loads)
        self._worth_waiting = 2 * loads
        self._patience = patience_seconds
        self._twins: dict[str, Twin] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}

    async def update(
        self,
        uid: str,
        source: SourceAccess,
        *,
        queries: Mapping[str, str],
        samples: Mapping[str, Sample],
        step: int,
        history_seconds: int,
        depth: int,
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
            history_seconds: length of the past.
            depth: steps of it that are of use; no more than these, and than 10,000, are kept.
            now: Unix seconds; samples count as taken then.
        """
        shape = Shape.of(source, step, history_seconds, depth)
        twin = self._twins.get(uid)
        if twin is None or twin.shape != shape:
            self.drop(uid)
            twin = self._twins[uid] = Twin(shape, source, phase=float(int(now)))
        twin.source = source
        twin.take_in(queries, samples, now)
        if twin.wanted() and uid not in self._loading:
            self._loading[uid] = asyncio.create_task(self._load(uid, twin))
        if uid in self._loading and len(self._loading) <= self._worth_waiting:
            # Further back in the line a sync would only keep its own place from others, for nothing.
            await asyncio.wait({self._loading[uid]}, timeout=self._patience)
        return History({metric: track.grid.series() for metric, track in twin.tracks.items()}, complete=twin.complete)

    def drop(self, uid: str) -> None:
        """Forget a twin."""
        self._twins.pop(uid, None)
        loading = self._loading.pop(uid, None)
        if loading is not None:
            loading.cancel()

    async def aclose(self) -> None:
        """Forget all twins."""
        running = list(self._loading.values())
        for uid in list(self._twins):
            self.drop(uid)
        await asyncio.gather(*running, return_exceptions=True)

    async def _load(self, uid: str, twin: Twin) -> None:
        try:
            async with self._places:
                while wanted := twin.wanted():
                    together = [one for one in wanted if not one.suspect]
                    batches = [together, *([one] for one in wanted if one.suspect)]
                    await asyncio.gather(*(self._read(uid, twin, batch) for batch in batches if batch))
        finally:
            if self._loading.get(uid) is asyncio.current_task():
                del self._loading[uid]

    async def _read(self, uid: str, twin: Twin, batch: Sequence[Wanted]) -> None:
        try:
            answers = await self._backend.ranges(twin.source, [one.query for one in batch])
        except (MetricsUnavailable, SpecError) as error:
            log.warning("history could not be read", twin=uid, error=str(error))
            for one in batch:
                one.unanswered(twin.now)
            return
        for one, answer in zip(batch, answers, strict=True):
            if answer.error:
                log.warning("history query failed", twin=uid, metric=one.metric, error=answer.error)
            one.take_in(answer, twin.now)
