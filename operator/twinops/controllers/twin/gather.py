"""Gathers the metrics of a twin from its MetricsSource: one sample per metric."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import DigitalTwinSpec, MetricSpec
from twinops.core.metrics.batches import Gathered, expanded, first_batch, judge_again, second_batch, summarize
from twinops.core.metrics.judgement import Answers, judge
from twinops.core.metrics.on_missing import apply_on_missing
from twinops.core.metrics.plan import QueryPlan
from twinops.core.metrics.planner import make_plan, metric_names
from twinops.core.metrics.queries import QueryTexts
from twinops.core.metrics.reasons import SampleReason
from twinops.core.observation import Sample, Workload
from twinops.engine.fair_semaphore import FairSemaphore
from twinops.engine.requester import requester
from twinops.errors import MetricsUnavailable
from twinops.metric_definitions import definition
from twinops.ports.metrics import MetricsBackend, SourceAccess

_Value = TypeVar("_Value")


class Gatherer:
    """Queries every metric of a twin, in one batch and at most one more.

    Args:
        backend: where queries are sent.
        texts: built-in queries, placeholders and parser.
    """

    def __init__(self, backend: MetricsBackend, texts: QueryTexts) -> None:
        self._backend = backend
        self._texts = texts
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="planning")
        self._permits = FairSemaphore(1)

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
        """Return one sample per metric, as of the whole second in which ``now`` lies.

        A metric whose built-in query is already chosen in ``previous`` takes two queries, for its value and its
        freshness, and a third one where it is a mean over pods, for their number. See ``core.metrics.batches`` for
        the others.

        Args:
            spec: the twin's.
            source: its MetricsSource.
            namespace: the twin's.
            workload: its target; None when it has none.
            previous: the answers of the last sync, for ``onMissing: Hold`` and for which candidate answered.
            now: Unix seconds.

        Raises:
            MetricsUnavailable: the source did not answer; see ``unavailable``.
            SpecError: the source refuses the operator.
        """
        plan = await self._plan(spec, source, namespace, workload, previous)
        plans = {metric.metric: metric for metric in plan.metrics if metric.not_asked is None}
        own = {name: metric for name, metric in plans.items() if metric.custom}
        # Twins that are synced within the same second ask for the same time, and so in common requests.
        now = float(math.floor(now))
        answers = dict(await self._ask(source, first_batch(plans.values()), first_batch(own.values()), now))
        samples = {name: judge(metric, metric.first, answers, now) for name, metric in plans.items()}
        empty = {name: expanded(plans[name], answers) for name in plans if samples[name].quality is Quality.EMPTY}
        answers |= await self._ask(
            source,
            second_batch(plans, empty, samples, answers),
            second_batch(own, _of(own, empty), _of(own, samples), answers) if own else (),
            now,
        )
        samples |= {name: judge_again(metric, samples[name], answers, now) for name, metric in empty.items()}
        return summarize(plan, plans | empty, samples, answers, previous, now)

    def unavailable(
        self, spec: DigitalTwinSpec, error: MetricsUnavailable, previous: Sequence[ObservedMetric], now: float
    ) -> Gathered:
        """Return one sample per metric while the source does not answer: an error, or what ``onMissing`` says instead.

        Args:
            spec: the twin's.
            error: why the source did not answer.
            previous: the answers of the last sync.
            now: Unix seconds.
        """
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
                reason=SampleReason.METRICS_UNAVAILABLE,
                message=str(error),
                query=last.query if last is not None else "",
            )
            samples[metric] = apply_on_missing(sample, rule, last, now)
        return Gathered(samples)

    async def _plan(
        self,
        spec: DigitalTwinSpec,
        source: SourceAccess,
        namespace: str,
        workload: Workload | None,
        previous: Sequence[ObservedMetric],
    ) -> QueryPlan:
        def plan() -> QueryPlan:
            return make_plan(spec, source.spec, workload, namespace, texts=self._texts, previous=previous)

        if all(metric.query is None for metric in spec.source.metrics):
            return plan()
        # Queries from the spec may be long. They are rendered and parsed outside the event loop, which renews the
        # Lease: one twin at a time, in fair order, so that many twins with long queries do not delay another namespace.
        permit = await self._permits.acquire(requester() or (namespace, ""))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._planning, plan)
        finally:
            permit.release()

    async def _ask(self, source: SourceAccess, texts: Iterable[str], own: Iterable[str], now: float) -> Answers:
        """Return the answers by text.

        Args:
            source: whom to ask.
            texts: what to ask, possibly some of them twice.
            own: those among them that a person wrote, or that were derived from such.
            now: Unix seconds.
        """
        different = dict.fromkeys(texts)
        if not different:
            return {}
        built_in = different.keys() - set(own)
        answers = await self._backend.instant(source, tuple(different), now, built_in=built_in)
        return dict(zip(different, answers, strict=True))


def _of(own: Collection[str], by_metric: Mapping[str, _Value]) -> Mapping[str, _Value]:
    return {name: value for name, value in by_metric.items() if name in own}
