"""Turns answers of the metrics backend into samples, each with one of the qualities of ``Quality``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from twinops.api.base import utc
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import LARGEST
from twinops.core.metrics.plan import MetricPlan, RenderedQuery
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.core.metrics.reasons import SampleReason
from twinops.core.observation import Sample
from twinops.metric_definitions import definition

Answers = Mapping[str, InstantAnswer]
"""The answers to instant queries, by the PromQL text that was sent."""

# Significant digits of a bucket's bound as people write it.
_BOUND_DIGITS = 10
# Relative tolerances: of one float against another, and of two bounds against each other.
_SAME = 1e-12
_SAME_BOUND = 1e-6
_PARTIAL_MESSAGE = (
    "the metrics source could answer in part only: a store behind it is out of reach; its own logs and its page of "
    "stores say which one"
)
_NAN = (SampleReason.NOT_A_NUMBER, "NaN")
_INFINITE = (SampleReason.INFINITE, "an infinite value")
_AGGREGATE = "aggregate, for example with sum()"
NO_ANSWER = InstantAnswer()
"""The answer to a look-up that was not sent."""

# Best first: a value, then answers that at least show that the series exist, last an empty result.
_PREFERENCE = (Quality.GOOD, Quality.BOUNDED, Quality.STALE, Quality.NAN, Quality.ERROR, Quality.EMPTY)


def judge(plan: MetricPlan, queries: Sequence[RenderedQuery], answers: Answers, at: float) -> Sample:
    """Return the best answer of the queries that were asked, the preferred query first among equals.

    An empty result has the quality Empty here; ``presence.explain_empty`` finds out whether it is Missing.
    """
    samples = [_sample(plan, one, answers, at) for one in queries]
    nothing = _empty_sample(Sample(plan.metric, Quality.EMPTY, unit=plan.unit))
    return min(samples, key=lambda sample: _PREFERENCE.index(sample.quality), default=nothing)


def _sample(plan: MetricPlan, rendered: RenderedQuery, answers: Answers, at: float) -> Sample:
    answer = answers[rendered.promql]
    base = Sample(
        plan.metric, Quality.GOOD, unit=rendered.query.unit or plan.unit, query=rendered.query.name, basis=plan.basis
    )
    if answer.error or _is_partial(rendered, answers):
        return _failed_sample(base, answer, partial=_is_partial(rendered, answers))
    if not answer.values:
        bounded = _within_bounds(base, answers.get(rendered.inspection.bounds, NO_ANSWER))
        if bounded is not None:
            return _with_time(bounded, plan, rendered, answers, at)
        return dataclasses.replace(_empty_sample(base), time=newest_time(rendered, answers))
    if len(answer.values) > 1:
        return bad_sample(
            base, Quality.ERROR, SampleReason.MANY_SERIES, f"the query gives more than one series; {_AGGREGATE}"
        )
    value = answer.values[0]
    if not abs(value) <= LARGEST:
        reason, words = _NAN if math.isnan(value) else _INFINITE
        return bad_sample(base, Quality.NAN, reason, f"the query gives {words}")
    return _with_time(dataclasses.replace(base, value=value), plan, rendered, answers, at)


def _empty_sample(base: Sample) -> Sample:
    message = "series exist, or did in the last minutes, but the query gives no result"
    return bad_sample(base, Quality.EMPTY, SampleReason.EMPTY_RESULT, message)


def _within_bounds(base: Sample, answer: InstantAnswer) -> Sample | None:
    """Return the Bounded sample of a quantile in the first filled bucket of its histogram, None without bounds."""
    known = [value for value in answer.values if math.isfinite(value)]
    if not known or max(map(abs, known)) > LARGEST:
        return None
    least, most = min(known), max(known)
    if math.isclose(least, most, rel_tol=_SAME_BOUND) and most > 0:
        # The first filled bucket is the open one, too.
        return in_open_bucket(base, most)
    show = definition(base.metric).show
    span = f"between {show(least)} and {show(most)}" if least > _SAME_BOUND * most else f"at most {show(most)}"
    why = "nearly all observations are in one bucket of the histogram, the first that holds any"
    advice = "give it finer buckets, in the unit that it measures in"
    return dataclasses.replace(
        base,
        quality=Quality.BOUNDED,
        least=least,
        most=most,
        reason=SampleReason.ONE_BUCKET,
        message=f"{span}: {why}; {advice}",
    )


def in_open_bucket(sample: Sample, least: float) -> Sample:
    """Return the sample of a quantile in the last, open bucket of its histogram: only its lower bound is known."""
    message = f"at least {definition(sample.metric).show(least)}: in the histogram's last, open bucket"
    return dataclasses.replace(
        sample, quality=Quality.BOUNDED, value=None, least=least, reason=SampleReason.OPEN_BUCKET, message=message
    )


def newest_time(rendered: RenderedQuery, answers: Answers) -> float | None:
    """Return the time of the newest sample behind a query, None where none is found."""
    times = answers.get(rendered.inspection.freshness, NO_ANSWER).values
    return max((time for time in times if math.isfinite(time)), default=None)


def _is_partial(rendered: RenderedQuery, answers: Answers) -> bool:
    """Tell whether the value, its age or the number of pods behind it covers only a part of what is stored."""
    texts = (*rendered.texts, rendered.inspection.bounds)
    return any(answers.get(text, NO_ANSWER).error == PARTIAL for text in texts)


def _failed_sample(base: Sample, answer: InstantAnswer, *, partial: bool) -> Sample:
    if partial:
        return bad_sample(base, Quality.ERROR, SampleReason.PARTIAL_ANSWER, _PARTIAL_MESSAGE)
    where = f" at {answer.error_position}" if answer.error_position else ""
    if answer.error == "bad_data":
        return bad_sample(
            base, Quality.ERROR, SampleReason.QUERY_REFUSED, f"Prometheus refuses the query ({answer.error}{where})"
        )
    if answer.error == "busy":
        return bad_sample(
            base,
            Quality.ERROR,
            SampleReason.QUERY_NOT_ASKED,
            "other queries, the twin's own first, left no time for it",
        )
    if answer.error == "too_large":
        return bad_sample(base, Quality.ERROR, SampleReason.MANY_SERIES, f"the answer is too large: {_AGGREGATE}")
    again = f"; it is asked again at {utc(answer.next_attempt):%H:%M:%S} UTC" if answer.next_attempt else ""
    return bad_sample(base, Quality.ERROR, SampleReason.QUERY_FAILED, f"the query failed ({answer.error}){again}")


def _with_time(sample: Sample, plan: MetricPlan, rendered: RenderedQuery, answers: Answers, at: float) -> Sample:
    if not rendered.inspection.freshness:
        # A value without any series behind it is as of now. Of a query that cannot be parsed the age is not known.
        return dataclasses.replace(sample, time=None if rendered.inspection.warning else at)
    if answers.get(rendered.inspection.freshness, NO_ANSWER).error:
        return sample
    newest = newest_time(rendered, answers)
    if newest is None:
        return ended_sample(plan, sample)
    aged = dataclasses.replace(sample, time=newest)
    if at - newest > plan.stale_after:
        return bad_sample(
            aged,
            Quality.STALE,
            SampleReason.STALE_SAMPLES,
            f"the newest sample is {at - newest:.0f} s old; more than {plan.stale_after} s count as stale",
        )
    return aged


def ended_sample(plan: MetricPlan, sample: Sample) -> Sample:
    """Return the stale sample of a metric whose series have no newer sample."""
    return bad_sample(
        sample,
        Quality.STALE,
        SampleReason.STALE_SAMPLES,
        f"its series ended; no sample in the last {plan.stale_after} s",
    )


def bad_sample(sample: Sample, quality: Quality, reason: str, message: str) -> Sample:
    """Return the sample without value and bounds, with this quality and reason."""
    return dataclasses.replace(
        sample, quality=quality, value=None, least=None, most=None, reason=reason, message=message
    )


def open_bucket_text(plan: MetricPlan, sample: Sample) -> str:
    """Return the look-up that tells whether a quantile lies in its histogram's open bucket, empty where none is needed.

    It is needed only where the value is a bucket's bound, which has few digits: within a closed bucket the quantile is
    interpolated and has all the digits of a float.
    """
    rendered = plan.asked(sample.query)
    if rendered is None or sample.quality is not Quality.GOOD or not sample.value:
        return ""
    bound = float(f"{sample.value:.{_BOUND_DIGITS}g}")
    return rendered.inspection.top if math.isclose(sample.value, bound, rel_tol=_SAME) else ""


def is_in_open_bucket(plan: MetricPlan, sample: Sample, answers: Answers) -> bool:
    """Tell whether a quantile lies in the open bucket, so that its value is only a lower bound."""
    values = answers.get(open_bucket_text(plan, sample), NO_ANSWER).values
    return len(values) == 1 and sample.value is not None and math.isclose(values[0], sample.value, rel_tol=_SAME)
