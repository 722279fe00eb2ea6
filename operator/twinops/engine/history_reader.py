"""Reads the history of a twin's metrics from the metrics backend."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from twinops.core.forecast.recorded import Recorded
from twinops.core.metrics.queries import PARTIAL
from twinops.core.series import Series
from twinops.engine.forecast_input import REPLICAS, ForecastInput, SlotInput
from twinops.engine.time_grid import Span, without_unstored
from twinops.errors import MetricsUnavailable, SpecError
from twinops.metric_definitions import MEAN_PER_POD
from twinops.ports.metrics import NO_STORE, MetricsBackend, RangeAnswer, RangeQuery, SourceAccess

log = structlog.get_logger()

Spans = tuple[Span, Span | None]
"""The recent history, and the older one where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedHistory:
    """What a read gave.

    Attributes:
        recorded: by metric; the number of pods under ``REPLICAS``.
        failed: by metric, ``errorType`` of the refusal, or ``PARTIAL``; empty when there was no answer at all.
    """

    recorded: Mapping[str, Recorded]
    failed: Mapping[str, str]

    def slot_inputs(self, gap: Span, forecast_input: ForecastInput, *, counted: bool) -> Iterator[SlotInput]:
        """Return the values of every slot of a gap, oldest first; slots without any, too.

        Args:
            gap: the span that was read.
            forecast_input: of the sync that the gap ends with.
            counted: whether the number of pods was asked for: then totals are left out where it is not known.
        """
        series = {metric: one.recent.values.tolist() for metric, one in self.recorded.items()}
        counts = series.pop(REPLICAS, None)
        for entry, slot in enumerate(range(gap.first, gap.last + 1)):
            pods = None if counts is None or not math.isfinite(counts[entry]) else round(counts[entry])
            values = {
                metric: known[entry]
                for metric, known in series.items()
                if math.isfinite(known[entry]) and (pods is not None or not counted or metric not in MEAN_PER_POD)
            }
            yield SlotInput(slot, gap.grid.time(slot), values, dataclasses.replace(forecast_input, replicas=pods))


class HistoryReader:
    """Reads several metrics: those that never failed in one batch, each other one in a batch of its own.

    Args:
        backend: where range queries are sent.
    """

    def __init__(self, backend: MetricsBackend) -> None:
        self._backend = backend

    async def read(
        self, source: SourceAccess, queries: Mapping[str, str], spans: Spans, pieces: Mapping[str, int], *, uid: str
    ) -> RecordedHistory:
        """Return the history of every metric, as far as it can be had.

        A metric that is remembered as a total over all pods is left out when their number could not be read.

        Args:
            source: the twin's MetricsSource.
            queries: rendered query by metric, and that of the number of pods under ``REPLICAS``.
            spans: what to read.
            pieces: of metrics that have failed before, the number of range queries to split each into.
            uid: the twin's, for the log.
        """
        sound = [metric for metric in queries if metric not in pieces]
        batches = [sound, *([metric] for metric in queries if metric in pieces)]
        found = await asyncio.gather(
            *(self._batch(source, {m: queries[m] for m in batch}, spans, pieces, uid) for batch in batches if batch)
        )
        history = RecordedHistory(
            {metric: one for batch in found for metric, one in batch.recorded.items()},
            {metric: error for batch in found for metric, error in batch.failed.items()},
        )
        return _without_uncounted(history) if REPLICAS in queries else history

    async def _batch(
        self, source: SourceAccess, queries: Mapping[str, str], spans: Spans, pieces: Mapping[str, int], uid: str
    ) -> RecordedHistory:
        asked = {
            metric: [span.queries(promql, pieces.get(metric, 1)) for span in spans if span is not None]
            for metric, promql in queries.items()
        }
        flat = [query for by_span in asked.values() for part in by_span for query in part]
        try:
            answers = iter(await self._ask(source, flat, one_by_one=any(metric in pieces for metric in queries)))
        except (MetricsUnavailable, SpecError) as failure:
            log.warning("history could not be read", twin=uid, error=str(failure))
            return RecordedHistory({}, dict.fromkeys(queries, ""))
        recorded, failed = {}, {}
        for metric, parts in asked.items():
            usable = iter(without_unstored([next(answers) for part in parts for _ in part]))
            by_span = [[next(usable) for _ in part] for part in parts]
            error = next((answer.error for part in by_span for answer in part if answer.error), "")
            if error:
                log.warning("history query failed", twin=uid, metric=metric, error=error)
                failed[metric] = error
            else:
                recorded[metric] = _recorded(spans, by_span)
        return RecordedHistory(recorded, failed)

    async def _ask(
        self, source: SourceAccess, queries: Sequence[RangeQuery], *, one_by_one: bool
    ) -> Sequence[RangeAnswer]:
        """Send all queries at once, or one after the other up to the first failure."""
        if not one_by_one:
            return await self._backend.ranges(source, queries)
        answers: list[RangeAnswer] = []
        for query in queries:
            answers += await self._backend.ranges(source, [query])
            if answers[-1].error:
                break
        rest = answers[-1] if answers[-1].error == NO_STORE else RangeAnswer()
        return [*answers, *([rest] * (len(queries) - len(answers)))]


def _without_uncounted(history: RecordedHistory) -> RecordedHistory:
    """Return the history without totals whose number of pods could not be read, or only in part.

    The number of pods of now does not stand for that of then.
    """
    error = history.failed.get(REPLICAS, "")
    if REPLICAS in history.recorded and error != PARTIAL:
        return history
    totals = history.recorded.keys() & MEAN_PER_POD
    recorded = {metric: one for metric, one in history.recorded.items() if metric not in totals}
    # Of a partial count the metrics fail, too, and are read again; a refused count is a failure of its own alone.
    return RecordedHistory(recorded, {**history.failed, **dict.fromkeys(totals if error == PARTIAL else (), PARTIAL)})


def _recorded(spans: Spans, answers: Sequence[Sequence[RangeAnswer]]) -> Recorded:
    series: list[Series] = [
        span.series(part) for span, part in zip((one for one in spans if one is not None), answers, strict=True)
    ]
    return Recorded(*series)
