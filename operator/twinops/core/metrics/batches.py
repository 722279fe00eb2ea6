"""The two batches of instant queries of one sync, and the samples that follow from their answers.

The first batch holds values and their freshness. The second one is sent only where a result is empty: for the other
candidates, for look-ups that tell missing series from an empty result, and for the bounds of a quantile; and where a
quantile may lie in its histogram's open bucket.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.core.metrics.censoring import lower_bounds
from twinops.core.metrics.durations import longest_range
from twinops.core.metrics.judgement import Answers, in_open_bucket, is_in_open_bucket, judge, open_bucket_text
from twinops.core.metrics.on_missing import apply_on_missing, with_last_time
from twinops.core.metrics.plan import MetricPlan, QueryPlan
from twinops.core.metrics.presence import explain_empty, presence_texts, probe_finds_series
from twinops.core.metrics.reasons import WITHOUT_HISTORY, SampleReason
from twinops.core.observation import Sample
from twinops.errors import QueryRefused, SpecError
from twinops.metric_definitions import DISTORTED_BY_START_UP, MEAN_PER_POD

MOST_PODS = 1_000_000
"""A larger number of pods is taken for a wrong answer."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The metrics of one sync.

    Attributes:
        samples: by metric name, one for every metric that the twin has or its spec names.
        queries: by metric name, the rendered query whose past is the metric's history.
        warnings: what a person should know but nothing stops for.
        refused: by metric name, what a person must mend; reason and message are made for ``Stalled``.
        censored: metrics whose value is only a lower bound now.
        replicas: pods that ``cpuUsage`` is a mean over, counted by its own series; None where these do not tell, and
            where it is no such mean, as with a query of the user's own.
        replicas_query: the rendered query whose past is the past of ``replicas``; empty where it is no such mean.
        windows: by name of a metric that start-up distorts, the seconds that its query looks back over.
    """

    samples: Mapping[str, Sample]
    queries: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, SpecError] = field(default_factory=dict)
    censored: frozenset[str] = frozenset()
    replicas: int | None = None
    replicas_query: str = ""
    windows: Mapping[str, float] = field(default_factory=dict)


def first_batch(plans: Iterable[MetricPlan]) -> Iterable[str]:
    """Yield the texts of the first batch, possibly some of them twice."""
    for plan in plans:
        for rendered in plan.first:
            yield from rendered.texts
        if plan.probed:
            yield from presence_texts(plan)


def expanded(plan: MetricPlan, answers: Answers) -> MetricPlan:
    """Return the plan of a metric without a result, with the candidates that are asked in the second batch."""
    if not plan.probed:
        return plan.with_fallbacks()
    return dataclasses.replace(plan, fallbacks=plan.probed) if probe_finds_series(plan, answers) else plan


def second_batch(
    plans: Mapping[str, MetricPlan], empty: Mapping[str, MetricPlan], samples: Mapping[str, Sample], answers: Answers
) -> list[str]:
    """Return the texts of the second batch.

    Args:
        plans: of the metrics that were asked, by name.
        empty: those without a result, expanded.
        samples: the answers of the first batch, by metric.
        answers: of the first batch, by text; these texts are not sent again.
    """
    texts = [text for plan in empty.values() for text in _look_ups(plan)]
    texts += [open_bucket_text(plans[name], sample) for name, sample in samples.items()]
    return [text for text in texts if text and text not in answers]


def _look_ups(plan: MetricPlan) -> Iterable[str]:
    yield from (rendered.inspection.bounds for rendered in plan.first)
    for rendered in plan.fallbacks:
        yield from rendered.texts
        yield rendered.inspection.bounds
    if not plan.probed:
        yield from presence_texts(plan)


def judge_again(plan: MetricPlan, sample: Sample, answers: Answers, now: float) -> Sample:
    """Return the sample of a metric without a result in the first batch, with the answers of both batches."""
    for queries in (plan.first, plan.fallbacks):
        found = judge(plan, queries, answers, now)
        if found.quality is not Quality.EMPTY:
            return found
    return explain_empty(plan, sample, answers)


def summarize(
    plan: QueryPlan,
    asked: Mapping[str, MetricPlan],
    samples: Mapping[str, Sample],
    answers: Answers,
    previous: Sequence[ObservedMetric],
    now: float,
) -> Gathered:
    """Return the metrics of the sync: final samples, and what follows from them.

    Args:
        plan: the twin's.
        asked: plans of the metrics that were asked, by name.
        samples: their answers, by metric.
        answers: of both batches, by text.
        previous: the answers of the last sync, for ``onMissing: Hold``.
        now: Unix seconds.
    """
    before = {metric.name: metric for metric in previous}
    final: dict[str, Sample] = {}
    for metric in plan.metrics:
        name, last = metric.metric, before.get(metric.metric)
        sample = samples[name] if metric.not_asked is None else metric.not_asked
        final[name] = apply_on_missing(with_last_time(sample, last, now), metric.rules, last, now)
    queries = {name: promql for name, metric in asked.items() if (promql := _history_query(metric, samples[name]))}
    refused = {
        name: QueryRefused(f"metric {name}: {samples[name].message}; mend its query in spec.source.metrics")
        for name, metric in asked.items()
        if metric.custom and samples[name].reason == SampleReason.QUERY_REFUSED
    }
    final |= {
        name: in_open_bucket(sample, sample.value)
        for name, metric in asked.items()
        if (sample := final[name]).value is not None and is_in_open_bucket(metric, sample, answers)
    }
    bounds = lower_bounds(final)
    final |= {name: dataclasses.replace(final[name], message=why) for name, why in bounds.items()}
    replicas, replicas_query = _pods(asked, final, answers)
    return Gathered(
        samples=final,
        queries=queries,
        warnings=plan.warnings,
        refused={**plan.refused, **refused},
        censored=frozenset(bounds),
        replicas=replicas,
        replicas_query=replicas_query,
        windows={name: longest_range(queries[name]) for name in DISTORTED_BY_START_UP if name in queries},
    )


def _history_query(plan: MetricPlan, sample: Sample) -> str:
    """Return the text of a metric's history, empty when there is none or no built-in query answered."""
    answered = plan.asked(sample.query)
    return "" if answered is None or sample.reason in WITHOUT_HISTORY else answered.past


def _pods(asked: Mapping[str, MetricPlan], samples: Mapping[str, Sample], answers: Answers) -> tuple[int | None, str]:
    """Return how many pods the metric with a mean per pod is a mean over, None where unknown, and the query for it."""
    for name in MEAN_PER_POD & asked.keys():
        answered = asked[name].asked(samples[name].query)
        if answered is None or not answered.pods:
            continue
        answer = answers.get(answered.pods)
        counts = () if answer is None or answer.error else answer.values
        counted = counts[0] if len(counts) == 1 else math.nan
        # The number of ready pods cannot replace it: a new pod is ready long before it has a rate.
        return (int(counted) if 1 <= counted <= MOST_PODS else None), answered.pods
    return None, ""
