"""Gathering: what Prometheus says of a twin, as one sample per metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from twinops.api.status import ObservedMetric, Quality
from twinops.api.twin import DigitalTwinSpec, MetricSpec
from twinops.core.metrics import facts
from twinops.core.observation import Sample, Workload
from twinops.errors import MetricsUnavailable, QueryRefused, SpecError
from twinops.services.gathering.judge import Answers, explain_empty, judge, presence_texts, stand_in
from twinops.services.gathering.plan import Asked, MetricPlan, Plan, make_plan, metric_names
from twinops.services.ports import MetricsBackend, QueryTexts, SourceAccess

_WITHOUT_HISTORY = frozenset({"QueryRefused", "ManySeries"})


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one sync knows of its metrics.

    Attributes:
        samples: by metric name, one for every metric that the twin has or speaks of.
        queries: by metric name, the rendered query whose past is the metric's history.
        warnings: what a person should know but nothing stops for.
        refused: by metric name, what a person must mend; reason and message are made for ``Stalled``.
    """

    samples: Mapping[str, Sample]
    queries: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, SpecError] = field(default_factory=dict)


class Gatherer:
    """Asks for every metric of a twin, in one batch and at most one more.

    Args:
        backend: where queries are sent.
        texts: built-in queries, placeholders and parser.
    """

    def __init__(self, backend: MetricsBackend, texts: QueryTexts) -> None:
        self._backend = backend
        self._texts = texts

    async def gather(
        self,
        spec: DigitalTwinSpec,
        source: SourceAccess,
        *,
        namespace: str,
        workload: Workload | None,
        previous: Sequence[ObservedMetric],
        now: float,
    ) -> Gathered:
        """Return one sample per metric, as of ``now`` (Unix seconds).

        The first batch holds values and their freshness; a metric whose built-in query is known from
        ``previous`` costs these two queries alone. The second one is sent only where a result is empty: for
        the other candidates, and to tell missing series from an empty result.

        Args:
            spec: the twin's.
            source: its MetricsSource.
            namespace: the twin's.
            workload: its target; None when it has none.
            previous: the last answers, for ``onMissing: Hold`` and to remember which candidate answered.
            now: Unix seconds.

        Raises:
            MetricsUnavailable: the source did not answer; see ``unavailable``.
            SpecError: the source refuses the operator.
        """
        plan = make_plan(spec, source.spec, workload, namespace, texts=self._texts, previous=previous)
        asked = [metric for metric in plan.metrics if metric.known_bad is None]
        answers = dict(await self._ask(source, _first_texts(asked), now))
        samples = {metric.metric: judge(metric, metric.first, answers, now) for metric in asked}
        empty = [metric for metric in asked if samples[metric.metric].quality is Quality.EMPTY]
        if empty:
            answers |= await self._ask(source, _second_texts(empty), now)
            samples |= {metric.metric: _second_look(metric, samples[metric.metric], answers, now) for metric in empty}
        return _gathered(plan, samples, previous, now)

    def unavailable(
        self, spec: DigitalTwinSpec, error: MetricsUnavailable, previous: Sequence[ObservedMetric], now: float
    ) -> Gathered:
        """Return what is known while the source does not answer: errors, and what ``onMissing`` puts in their place."""
        before = {metric.name: metric for metric in previous}
        rules = {metric.name: metric for metric in spec.source.metrics}
        samples = {}
        for metric in metric_names(spec, self._texts):
            last = before.get(metric)
            rule = rules.get(metric) or MetricSpec(name=metric)
            sample = Sample(
                metric,
                Quality.ERROR,
                unit=rule.unit or (last.unit if last is not None else "") or facts(metric).unit,
                reason="MetricsUnavailable",
                message=str(error),
                query=last.query if last is not None else "",
            )
            samples[metric] = stand_in(sample, rule, last, now)
        return Gathered(samples)

    async def _ask(self, source: SourceAccess, texts: Iterable[str], now: float) -> Answers:
        different = list(dict.fromkeys(texts))
        if not different:
            return {}
        return dict(zip(different, await self._backend.instant(source, different, now), strict=True))


def _first_texts(metrics: Iterable[MetricPlan]) -> Iterable[str]:
    for metric in metrics:
        for asked in metric.first:
            yield from asked.texts


def _second_texts(metrics: Iterable[MetricPlan]) -> Iterable[str]:
    for metric in metrics:
        for asked in metric.later:
            yield from asked.texts
        yield from presence_texts(metric)


def _second_look(metric: MetricPlan, sample: Sample, answers: Answers, now: float) -> Sample:
    if metric.later:
        other = judge(metric, metric.later, answers, now)
        if other.quality is not Quality.EMPTY:
            return other
    return explain_empty(metric, sample, answers)


def _gathered(plan: Plan, samples: Mapping[str, Sample], previous: Sequence[ObservedMetric], now: float) -> Gathered:
    before = {metric.name: metric for metric in previous}
    final = {}
    queries = {}
    refused = dict(plan.refused)
    for metric in plan.metrics:
        sample = metric.known_bad or samples[metric.metric]
        final[metric.metric] = stand_in(sample, metric.rules, before.get(metric.metric), now)
        promql = _promql((*metric.first, *metric.later), sample)
        if promql and sample.reason not in _WITHOUT_HISTORY:
            queries[metric.metric] = promql
        if metric.custom and sample.reason == QueryRefused.reason:
            refused[metric.metric] = QueryRefused(
                f"metric {metric.metric}: {sample.message}; mend its query in spec.source.metrics"
            )
    return Gathered(final, queries, plan.warnings, refused)


def _promql(asked: Sequence[Asked], sample: Sample) -> str:
    """Return the query that answered; of built-in ones that all were missing, none."""
    return next((one.promql for one in asked if one.query.name == sample.query), "")
