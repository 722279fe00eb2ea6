"""Gathering: what Prometheus says of a twin, as one sample per metric."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from twinops.api.twin.spec import DigitalTwinSpec, MetricSpec
from twinops.api.twin.status import ObservedMetric, Quality
from twinops.controllers.shared.requester import requester
from twinops.core.metrics.censoring import lower_bounds
from twinops.core.metrics.judgement import (
    Answers,
    at_least,
    explain_empty,
    in_open_bucket,
    judge,
    presence_texts,
    scouts_found,
    stand_in,
    top_text,
    with_age,
)
from twinops.core.metrics.plan import MetricPlan, Plan, longest_range, make_plan, metric_names
from twinops.core.metrics.queries import QueryTexts
from twinops.core.observation import Sample, Workload
from twinops.engine.fair_slots import FairSlots
from twinops.errors import MetricsUnavailable, QueryRefused, SpecError
from twinops.metric_definitions import CPU, DISTORTED_BY_START_UP, definition
from twinops.ports.metrics import MetricsBackend, SourceAccess

MOST_PODS = 1_000_000
"""What counts more pods than that, or NaN, counts none."""

_WITHOUT_HISTORY = frozenset({"QueryRefused", "ManySeries"})


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one sync knows of its metrics.

    Attributes:
        samples: by metric name, one for every metric that the twin has or speaks of.
        queries: by metric name, the rendered query whose past is the metric's history.
        warnings: what a person should know but nothing stops for.
        refused: by metric name, what a person must mend; reason and message are made for ``Stalled``.
        at_least: metrics whose value is only a lower bound now.
        replicas: pods that ``cpuUsage`` is a mean over, by its own series; None where these do not tell, and where
            it is no such mean, as with a query of the user's own.
        replicas_query: the rendered query whose past is the past of ``replicas``; empty where it is no such mean.
        windows: by metric name, the seconds that the query which answered looks back over.
    """

    samples: Mapping[str, Sample]
    queries: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, SpecError] = field(default_factory=dict)
    at_least: frozenset[str] = frozenset()
    replicas: int | None = None
    replicas_query: str = ""
    windows: Mapping[str, float] = field(default_factory=dict)


class Gatherer:
    """Asks for every metric of a twin, in one batch and at most one more.

    Args:
        backend: where queries are sent.
        texts: built-in queries, placeholders and parser.
    """

    def __init__(self, backend: MetricsBackend, texts: QueryTexts) -> None:
        self._backend = backend
        self._texts = texts
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="planning")
        self._turns = FairSlots(1)

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
        ``previous`` costs these two queries alone, and a third where it is a mean over pods, for their number.
        The second one is sent only where a result is empty: for the other candidates, to tell missing series
        from an empty result, and for the bounds of a quantile that nothing supports (from then on they go with
        the first); and where a quantile may lie in its histogram's open bucket. Candidates
        that gave nothing last time either are asked only when a look-up, one for them all, finds series of
        theirs.

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
        plan = await self._plan(spec, source, namespace, workload, previous)
        asked = {metric.metric: metric for metric in plan.metrics if metric.known_bad is None}
        answers = dict(await self._ask(source, _first_texts(asked.values()), now))
        samples = {name: judge(metric, metric.first, answers, now) for name, metric in asked.items()}
        empty = {name: _unfolded(asked[name], answers) for name in asked if samples[name].quality is Quality.EMPTY}
        tops = [top_text(asked[name], sample) for name, sample in samples.items()]
        second = [text for text in (*_second_texts(empty.values()), *tops) if text and text not in answers]
        answers |= await self._ask(source, second, now)
        samples |= {name: _second_look(metric, samples[name], answers, now) for name, metric in empty.items()}
        samples |= {metric.metric: metric.known_bad for metric in plan.metrics if metric.known_bad is not None}
        gathered = _gathered(plan, asked | empty, samples, previous, now)
        return _with_bounds(_with_replicas(gathered, asked | empty, answers), asked | empty, answers)

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
                unit=rule.unit or (last.unit if last is not None else "") or definition(metric).unit,
                reason="MetricsUnavailable",
                message=str(error),
                query=last.query if last is not None else "",
            )
            samples[metric] = stand_in(sample, rule, last, now)
        return Gathered(samples)

    async def _plan(
        self,
        spec: DigitalTwinSpec,
        source: SourceAccess,
        namespace: str,
        workload: Workload | None,
        previous: Sequence[ObservedMetric],
    ) -> Plan:
        def plan() -> Plan:
            return make_plan(spec, source.spec, workload, namespace, texts=self._texts, previous=previous)

        if all(metric.query is None for metric in spec.source.metrics):
            return plan()
        # Queries that somebody wrote are rendered and parsed off the loop that renews the Lease, one twin at a time,
        # and by turns: many twins with the longest queries must not keep those of another namespace waiting.
        place = await self._turns.take(requester() or (namespace, ""))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._planning, plan)
        finally:
            place.release()

    async def _ask(self, source: SourceAccess, texts: Iterable[str], now: float) -> Answers:
        different = list(dict.fromkeys(texts))
        if not different:
            return {}
        return dict(zip(different, await self._backend.instant(source, different, now), strict=True))


def _first_texts(metrics: Iterable[MetricPlan]) -> Iterable[str]:
    for metric in metrics:
        for asked in metric.first:
            yield from asked.texts
        if metric.scouted:
            yield from presence_texts(metric)


def _unfolded(metric: MetricPlan, answers: Answers) -> MetricPlan:
    if not metric.scouted:
        return metric.unfolded()
    return dataclasses.replace(metric, later=metric.scouted) if scouts_found(metric, answers) else metric


def _second_texts(metrics: Iterable[MetricPlan]) -> Iterable[str]:
    for metric in metrics:
        yield from (asked.inspection.bounds for asked in metric.first if asked.inspection.bounds)
        for asked in metric.later:
            yield from asked.texts
            if asked.inspection.bounds:
                yield asked.inspection.bounds
        if not metric.scouted:
            yield from presence_texts(metric)


def _second_look(metric: MetricPlan, sample: Sample, answers: Answers, now: float) -> Sample:
    first = judge(metric, metric.first, answers, now)
    if first.quality is not Quality.EMPTY:
        return first
    if metric.later:
        other = judge(metric, metric.later, answers, now)
        if other.quality is not Quality.EMPTY:
            return other
    return explain_empty(metric, sample, answers)


def _gathered(
    plan: Plan,
    asked: Mapping[str, MetricPlan],
    samples: Mapping[str, Sample],
    previous: Sequence[ObservedMetric],
    now: float,
) -> Gathered:
    before = {metric.name: metric for metric in previous}
    final = {}
    for metric in plan.metrics:
        last = before.get(metric.metric)
        final[metric.metric] = stand_in(with_age(samples[metric.metric], last, now), metric.rules, last, now)
    queries = {name: promql for name, metric in asked.items() if (promql := _with_a_past(metric, samples[name]))}
    refused = {
        name: QueryRefused(f"metric {name}: {samples[name].message}; mend its query in spec.source.metrics")
        for name, metric in asked.items()
        if metric.custom and samples[name].reason == QueryRefused.reason
    }
    windows = {name: longest_range(queries[name]) for name in DISTORTED_BY_START_UP if name in queries}
    return Gathered(final, queries, plan.warnings, {**plan.refused, **refused}, windows=windows)


def _with_a_past(metric: MetricPlan, sample: Sample) -> str:
    """Return the query that answered, empty when it cannot have a history or no built-in one answered."""
    answered = metric.answered(sample.query)
    return "" if answered is None or sample.reason in _WITHOUT_HISTORY else answered.past


def _with_replicas(gathered: Gathered, asked: Mapping[str, MetricPlan], answers: Answers) -> Gathered:
    metric = asked.get(CPU)
    answered = None if metric is None else metric.answered(gathered.samples[CPU].query)
    if answered is None or not answered.pods:
        return gathered
    answer = answers.get(answered.pods)
    told = answer is not None and not answer.error and len(answer.values) == 1
    counted = answer.values[0] if answer is not None and told else math.nan
    # The ready ones are no stand-in: a new pod is ready long before it has a rate.
    pods = int(counted) if 1 <= counted <= MOST_PODS else None
    return dataclasses.replace(gathered, replicas=pods, replicas_query=answered.pods)


def _with_bounds(gathered: Gathered, asked: Mapping[str, MetricPlan], answers: Answers) -> Gathered:
    """Mark what is only a bound, and say so."""
    open_ended = {
        name: at_least(sample, sample.value)
        for name, metric in asked.items()
        if (sample := gathered.samples[name]).value is not None and in_open_bucket(metric, sample, answers)
    }
    samples = {**gathered.samples, **open_ended}
    bounds = lower_bounds(samples)
    marked = {name: dataclasses.replace(samples[name], message=why) for name, why in bounds.items()}
    return dataclasses.replace(gathered, samples={**samples, **marked}, at_least=frozenset(bounds))
