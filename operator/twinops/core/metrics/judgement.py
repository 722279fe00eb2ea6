"""What the answers of Prometheus mean. Missing, empty, NaN, stale and error stay different things."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from twinops.api.base import utc
from twinops.api.twin.spec import LARGEST, MetricSpec, OnMissing
from twinops.api.twin.status import ObservedMetric, Quality
from twinops.core.metrics.plan import Asked, MetricPlan
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.core.observation import PARTIAL_ANSWER, Sample
from twinops.metric_definitions import definition

Answers = Mapping[str, InstantAnswer]
"""By the text that was sent."""

_MAX_SELECTOR = 200
_BOUND_DIGITS = 10
_SAME = 1e-12
_SAME_BOUND = 1e-6
_PARTIAL = (
    "the metrics source could answer in part only: a store behind it is out of reach; its own logs and its page of "
    "stores say which one"
)
_AGGREGATE = "aggregate, for example with sum()"
_NO_ANSWER = InstantAnswer()

# A real value is best; then what at least shows that the series exist; an empty result is the last word.
_PREFERENCE = (Quality.GOOD, Quality.BOUNDED, Quality.STALE, Quality.NAN, Quality.ERROR, Quality.EMPTY)


def judge(plan: MetricPlan, asked: Sequence[Asked], answers: Answers, at: float) -> Sample:
    """Return the best answer of the queries that were asked, the preferred query first among equals.

    An empty result is ``Empty`` here; ``explain_empty`` tells whether it is ``Missing``.
    """
    samples = [_verdict(plan, one, answers, at) for one in asked]
    nothing = _empty(Sample(plan.metric, Quality.EMPTY, unit=plan.unit))
    return min(samples, key=lambda sample: _PREFERENCE.index(sample.quality), default=nothing)


def _verdict(plan: MetricPlan, asked: Asked, answers: Answers, at: float) -> Sample:
    answer = answers[asked.promql]
    base = Sample(
        plan.metric, Quality.GOOD, unit=asked.query.unit or plan.unit, query=asked.query.name, basis=plan.basis
    )
    if answer.error or _in_part(asked, answers):
        return _failed(base, answer, partial=_in_part(asked, answers))
    if not answer.values:
        bounded = _bounded(base, answers.get(asked.inspection.bounds, _NO_ANSWER))
        if bounded is not None:
            return _aged(bounded, plan, asked, answers, at)
        return dataclasses.replace(_empty(base), time=_newest(asked, answers))
    if len(answer.values) > 1:
        return _bad(base, Quality.ERROR, "ManySeries", f"the query gives more than one series; {_AGGREGATE}")
    value = answer.values[0]
    if not abs(value) <= LARGEST:
        told = ("NotANumber", "NaN") if math.isnan(value) else ("Infinite", "an infinite value")
        return _bad(base, Quality.NAN, told[0], f"the query gives {told[1]}")
    return _aged(dataclasses.replace(base, value=value), plan, asked, answers, at)


def _empty(base: Sample) -> Sample:
    message = "series exist, or did in the last minutes, but the query gives no result"
    return _bad(base, Quality.EMPTY, "EmptyResult", message)


def _bounded(base: Sample, answer: InstantAnswer) -> Sample | None:
    """Return what is known of a quantile in the first filled bucket of its histogram, None where there is none."""
    known = [value for value in answer.values if math.isfinite(value)]
    if not known or max(map(abs, known)) > LARGEST:
        return None
    least, most = min(known), max(known)
    if math.isclose(least, most, rel_tol=_SAME_BOUND) and most > 0:
        # The first one that is filled is the open one, too.
        return at_least(base, most)
    show = definition(base.metric).show
    span = f"between {show(least)} and {show(most)}" if least > _SAME_BOUND * most else f"at most {show(most)}"
    why = "nearly all observations are in one bucket of the histogram, the first that holds any"
    advice = "give it finer buckets, in the unit that it measures in"
    return dataclasses.replace(
        base, quality=Quality.BOUNDED, least=least, most=most, reason="OneBucket", message=f"{span}: {why}; {advice}"
    )


def at_least(sample: Sample, least: float) -> Sample:
    """Return what is known of a quantile in the last, open bucket of its histogram."""
    message = f"at least {definition(sample.metric).show(least)}: in the histogram's last, open bucket"
    return dataclasses.replace(
        sample, quality=Quality.BOUNDED, value=None, least=least, reason="OpenBucket", message=message
    )


def _newest(asked: Asked, answers: Answers) -> float | None:
    """Return the time of the newest sample behind a query, None where none is found."""
    times = answers.get(asked.inspection.freshness, _NO_ANSWER).values
    return max((time for time in times if math.isfinite(time)), default=None)


def _in_part(asked: Asked, answers: Answers) -> bool:
    """Tell whether the value, or its age, or the number of pods behind it, is of a part of what is stored."""
    texts = (*asked.texts, asked.inspection.bounds)
    return any(answers.get(text, _NO_ANSWER).error == PARTIAL for text in texts)


def _failed(base: Sample, answer: InstantAnswer, *, partial: bool) -> Sample:
    if partial:
        return _bad(base, Quality.ERROR, PARTIAL_ANSWER, _PARTIAL)
    where = f" at {answer.error_position}" if answer.error_position else ""
    if answer.error == "bad_data":
        return _bad(base, Quality.ERROR, "QueryRefused", f"Prometheus refuses the query ({answer.error}{where})")
    if answer.error == "busy":
        return _bad(base, Quality.ERROR, "QueryNotAsked", "other queries, the twin's own first, left no time for it")
    if answer.error == "too_large":
        return _bad(base, Quality.ERROR, "ManySeries", f"the answer is too large: {_AGGREGATE}")
    again = f"; it is asked again at {utc(answer.next_attempt):%H:%M:%S} UTC" if answer.next_attempt else ""
    return _bad(base, Quality.ERROR, "QueryFailed", f"the query failed ({answer.error}){again}")


def _aged(sample: Sample, plan: MetricPlan, asked: Asked, answers: Answers, at: float) -> Sample:
    if not asked.inspection.freshness:
        # A value without any series behind it is as of now; of a query that we cannot read nothing is known.
        return dataclasses.replace(sample, time=None if asked.inspection.warning else at)
    if answers.get(asked.inspection.freshness, _NO_ANSWER).error:
        return sample
    newest = _newest(asked, answers)
    if newest is None:
        return _ended(plan, sample)
    aged = dataclasses.replace(sample, time=newest)
    if at - newest > plan.stale_after:
        return _bad(
            aged,
            Quality.STALE,
            "StaleSamples",
            f"the newest sample is {at - newest:.0f} s old; more than {plan.stale_after} s count as stale",
        )
    return aged


def _ended(plan: MetricPlan, sample: Sample) -> Sample:
    return _bad(sample, Quality.STALE, "StaleSamples", f"its series ended; no sample in the last {plan.stale_after} s")


def _bad(sample: Sample, quality: Quality, reason: str, message: str) -> Sample:
    return dataclasses.replace(
        sample, quality=quality, value=None, least=None, most=None, reason=reason, message=message
    )


def presence_texts(plan: MetricPlan) -> tuple[str, ...]:
    """Return the look-ups that tell missing series from an empty result.

    One per selector of a person's query, so that the message can name it. One in all for the built-in
    candidates, or a second one for those that are scouted; its value is the index of the first candidate
    whose series exist.
    """
    if plan.custom:
        return tuple(_presences(plan).values())
    first = _lookup(plan.first if plan.scouted else plan.candidates, 0)
    return tuple(text for text in (first, scouting_text(plan)) if text)


def scouting_text(plan: MetricPlan) -> str:
    """Return the look-up for the series of the scouted candidates, empty where there are none."""
    return _lookup(plan.scouted, len(plan.first))


def scouts_found(plan: MetricPlan, answers: Answers) -> bool:
    """Tell whether the scouted candidates must be asked: series of theirs exist, or nobody knows."""
    found = answers[scouting_text(plan)]
    return bool(found.values or found.error)


def _lookup(candidates: Sequence[Asked], index: int) -> str:
    return " or ".join(
        f"({' or '.join(asked.inspection.presence.values())}) * 0 + {at}"
        for at, asked in enumerate(candidates, index)
        if asked.inspection.presence
    )


def explain_empty(plan: MetricPlan, sample: Sample, answers: Answers) -> Sample:
    """Tell what an empty result is.

    ``Missing``: no series at all. ``Stale``: series that have ended. ``Empty``: series without a result.
    """
    lookups = presence_texts(plan)
    if not lookups or any(answers.get(lookup, _NO_ANSWER).error for lookup in lookups):
        return _bad(sample, Quality.EMPTY, "EmptyResult", "the query gives no result; whether series exist is unknown")
    if not plan.custom:
        found = min((index for lookup in lookups for index in answers[lookup].values), default=None)
        if found is None:
            return _none_found(plan, sample)
        asked = next((one for at, one in enumerate(plan.candidates) if at == found), None)
        return sample if asked is None else _silent(plan, asked, sample, answers)
    absent = [selector for selector, lookup in _presences(plan).items() if not answers[lookup].values]
    if len(absent) == len(lookups):
        return _bad(sample, Quality.MISSING, "NoSuchSeries", f"no series match {_list(absent)}")
    if absent:
        return dataclasses.replace(sample, message=f"the query gives no result; no series match {_list(absent)}")
    return _silent(plan, plan.first[0], sample, answers)


def _silent(plan: MetricPlan, asked: Asked, sample: Sample, answers: Answers) -> Sample:
    """Tell series that exist and give no result from those that have ended."""
    sample = dataclasses.replace(sample, query=asked.query.name, time=_newest(asked, answers))
    freshness = answers.get(asked.inspection.freshness)
    ended = freshness is not None and not freshness.error and not freshness.values
    return _ended(plan, sample) if ended else sample


def _none_found(plan: MetricPlan, sample: Sample) -> Sample:
    names = ", ".join(dict.fromkeys(asked.query.name for asked in plan.candidates))
    return dataclasses.replace(
        sample,
        quality=Quality.MISSING,
        query="",
        time=None,
        reason="NoSuchSeries",
        message=f"none of the built-in queries finds a series ({names}); give a query in spec.source.metrics",
    )


def _presences(plan: MetricPlan) -> Mapping[str, str]:
    return {selector: lookup for asked in plan.first for selector, lookup in asked.inspection.presence.items()}


def _list(selectors: Sequence[str]) -> str:
    text = ", ".join(selectors)
    return text if len(text) <= _MAX_SELECTOR else f"{text[:_MAX_SELECTOR]}…"


def top_text(plan: MetricPlan, sample: Sample) -> str:
    """Return the look-up that tells a quantile in its histogram's open bucket, empty where none is needed.

    It is needed for round values only: there a quantile is a bound of a bucket, within a closed one it is
    interpolated and has all the digits of a float.
    """
    asked = plan.answered(sample.query)
    if asked is None or sample.quality is not Quality.GOOD or not sample.value:
        return ""
    bound = float(f"{sample.value:.{_BOUND_DIGITS}g}")
    return asked.inspection.top if math.isclose(sample.value, bound, rel_tol=_SAME) else ""


def in_open_bucket(plan: MetricPlan, sample: Sample, answers: Answers) -> bool:
    """Tell whether a quantile is only known to lie at or above its value."""
    values = answers.get(top_text(plan, sample), _NO_ANSWER).values
    return len(values) == 1 and sample.value is not None and math.isclose(values[0], sample.value, rel_tol=_SAME)


def with_age(sample: Sample, previous: ObservedMetric | None, now: float) -> Sample:
    """Give a metric whose series ended the age of the newest sample that was ever seen of it, where one was."""
    ended = sample.quality is Quality.STALE and sample.time is None
    if not ended or previous is None or previous.time is None or previous.query != sample.query:
        return sample
    time = previous.time.timestamp()
    return dataclasses.replace(
        sample, time=time, message=f"its series ended; the newest sample is {now - time:.0f} s old"
    )


def stand_in(sample: Sample, rules: MetricSpec, previous: ObservedMetric | None, now: float) -> Sample:
    """Apply ``onMissing`` to a bad answer. What stands in never makes a correction eligible.

    Hold keeps the last good value with its own time, and the reason why it is needed; ``Value`` keeps the
    bad quality beside the value.
    """
    if sample.quality is Quality.GOOD or sample.bounded:
        return sample
    if rules.on_missing is OnMissing.VALUE:
        return dataclasses.replace(sample, value=rules.missing_value)
    if rules.on_missing is OnMissing.HOLD and previous is not None and _can_be_held(previous, rules, now):
        return dataclasses.replace(
            sample,
            quality=Quality.HELD,
            value=previous.value,
            time=None if previous.time is None else previous.time.timestamp(),
            unit=previous.unit or sample.unit,
        )
    return sample


def _can_be_held(previous: ObservedMetric, rules: MetricSpec, now: float) -> bool:
    real = previous.quality in (Quality.GOOD, Quality.HELD) and previous.value is not None
    return real and previous.time is not None and now - previous.time.timestamp() <= rules.hold_seconds
