"""Reading the past of a twin's metrics from Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from twinops.core.forecast.forecaster import Recorded
from twinops.core.series import Series
from twinops.engine.slots import Span, without_unstored
from twinops.errors import MetricsUnavailable, SpecError
from twinops.ports.metrics import NO_STORE, MetricsBackend, RangeAnswer, RangeQuery, SourceAccess

log = structlog.get_logger()

Spans = tuple[Span, Span | None]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What was read.

    Attributes:
        recorded: by metric.
        failed: by metric, ``errorType`` of the refusal, or ``PARTIAL``; empty when there was no answer at all.
    """

    recorded: Mapping[str, Recorded]
    failed: Mapping[str, str]


class PastReader:
    """Asks for the past of several metrics: those that never failed together, the others each alone.

    Args:
        backend: where range queries are sent.
    """

    def __init__(self, backend: MetricsBackend) -> None:
        self._backend = backend

    async def read(
        self, source: SourceAccess, queries: Mapping[str, str], when: Spans, pieces: Mapping[str, int], *, twin: str
    ) -> Past:
        """Return the past of every metric, as far as it can be had.

        Args:
            source: the twin's MetricsSource.
            queries: rendered query by metric.
            when: the recent past, and the older one where there is one.
            pieces: for metrics that have failed before, in how many pieces to ask.
            twin: its UID, for the log.
        """
        sound = [metric for metric in queries if metric not in pieces]
        batches = [sound, *([metric] for metric in queries if metric in pieces)]
        found = await asyncio.gather(
            *(self._together(source, {m: queries[m] for m in batch}, when, pieces, twin) for batch in batches if batch)
        )
        return Past(
            {metric: one for past in found for metric, one in past.recorded.items()},
            {metric: error for past in found for metric, error in past.failed.items()},
        )

    async def _together(
        self, source: SourceAccess, queries: Mapping[str, str], when: Spans, pieces: Mapping[str, int], twin: str
    ) -> Past:
        asked = {
            metric: [span.queries(promql, pieces.get(metric, 1)) for span in when if span is not None]
            for metric, promql in queries.items()
        }
        flat = [query for parts in asked.values() for part in parts for query in part]
        try:
            answers = iter(await self._ask(source, flat, alone=any(metric in pieces for metric in queries)))
        except (MetricsUnavailable, SpecError) as failure:
            log.warning("history could not be read", twin=twin, error=str(failure))
            return Past({}, dict.fromkeys(queries, ""))
        recorded, failed = {}, {}
        for metric, parts in asked.items():
            mine = iter(without_unstored([next(answers) for part in parts for _ in part]))
            by_span = [[next(mine) for _ in part] for part in parts]
            error = next((answer.error for part in by_span for answer in part if answer.error), "")
            if error:
                log.warning("history query failed", twin=twin, metric=metric, error=error)
                failed[metric] = error
            else:
                recorded[metric] = _recorded(when, by_span)
        return Past(recorded, failed)

    async def _ask(self, source: SourceAccess, queries: Sequence[RangeQuery], *, alone: bool) -> Sequence[RangeAnswer]:
        """Send all at once; the pieces of one that has failed before one by one, up to the first failure."""
        if not alone:
            return await self._backend.ranges(source, queries)
        answers: list[RangeAnswer] = []
        for query in queries:
            answers += await self._backend.ranges(source, [query])
            if answers[-1].error:
                break
        rest = answers[-1] if answers[-1].error == NO_STORE else RangeAnswer()
        return [*answers, *([rest] * (len(queries) - len(answers)))]


def _recorded(when: Spans, answers: Sequence[Sequence[RangeAnswer]]) -> Recorded:
    series: list[Series] = [
        span.series(part) for span, part in zip((one for one in when if one is not None), answers, strict=True)
    ]
    return Recorded(*series)
