"""Look-ups for series, which tell a metric without series (Missing) from a query without a result (Empty)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from twinops.api.twin.observed import Quality
from twinops.core.metrics.judgement import NO_ANSWER, Answers, bad_sample, ended_sample, newest_time
from twinops.core.metrics.plan import MetricPlan, RenderedQuery
from twinops.core.metrics.reasons import SampleReason
from twinops.core.observation import Sample

_MAX_SELECTOR = 200


def presence_texts(plan: MetricPlan) -> tuple[str, ...]:
    """Return the look-ups that tell missing series from an empty result.

    One per selector of a person's query, so that the message can name it. One in all for the built-in
    candidates, or a second one for those that are probed; its value is the index of the first candidate
    whose series exist.
    """
    if plan.custom:
        return tuple(_presences(plan).values())
    first = _first_present(plan.first if plan.probed else plan.candidates, 0)
    return tuple(text for text in (first, probe_text(plan)) if text)


def probe_text(plan: MetricPlan) -> str:
    """Return the probe: the look-up for the series of the probed candidates, empty where there are none."""
    return _first_present(plan.probed, len(plan.first))


def probe_finds_series(plan: MetricPlan, answers: Answers) -> bool:
    """Tell whether the probed candidates must be asked: the probe finds series of theirs, or has failed."""
    found = answers[probe_text(plan)]
    return bool(found.values or found.error)


def _first_present(candidates: Sequence[RenderedQuery], index: int) -> str:
    return " or ".join(
        f"({' or '.join(rendered.inspection.presence.values())}) * 0 + {at}"
        for at, rendered in enumerate(candidates, index)
        if rendered.inspection.presence
    )


def explain_empty(plan: MetricPlan, sample: Sample, answers: Answers) -> Sample:
    """Return the sample of a metric whose queries gave an empty result.

    ``Missing``: no series at all. ``Stale``: series that have ended. ``Empty``: series without a result.
    """
    lookups = presence_texts(plan)
    if not lookups or any(answers.get(lookup, NO_ANSWER).error for lookup in lookups):
        return bad_sample(
            sample,
            Quality.EMPTY,
            SampleReason.EMPTY_RESULT,
            "the query gives no result; whether series exist is unknown",
        )
    if not plan.custom:
        found = min((index for lookup in lookups for index in answers[lookup].values), default=None)
        if found is None:
            return _none_found(plan, sample)
        rendered = next((one for at, one in enumerate(plan.candidates) if at == found), None)
        return sample if rendered is None else _without_result(plan, rendered, sample, answers)
    absent = [selector for selector, lookup in _presences(plan).items() if not answers[lookup].values]
    if len(absent) == len(lookups):
        return bad_sample(sample, Quality.MISSING, SampleReason.NO_SUCH_SERIES, f"no series match {_list(absent)}")
    if absent:
        return dataclasses.replace(sample, message=f"the query gives no result; no series match {_list(absent)}")
    return _without_result(plan, plan.first[0], sample, answers)


def _without_result(plan: MetricPlan, rendered: RenderedQuery, sample: Sample, answers: Answers) -> Sample:
    """Return the sample of a query whose series exist (Empty) or have ended (Stale)."""
    sample = dataclasses.replace(sample, query=rendered.query.name, time=newest_time(rendered, answers))
    freshness = answers.get(rendered.inspection.freshness)
    ended = freshness is not None and not freshness.error and not freshness.values
    return ended_sample(plan, sample) if ended else sample


def _none_found(plan: MetricPlan, sample: Sample) -> Sample:
    names = ", ".join(dict.fromkeys(rendered.query.name for rendered in plan.candidates))
    return dataclasses.replace(
        sample,
        quality=Quality.MISSING,
        query="",
        time=None,
        reason=SampleReason.NO_SUCH_SERIES,
        message=f"none of the built-in queries finds a series ({names}); give a query in spec.source.metrics",
    )


def _presences(plan: MetricPlan) -> Mapping[str, str]:
    return {selector: lookup for rendered in plan.first for selector, lookup in rendered.inspection.presence.items()}


def _list(selectors: Sequence[str]) -> str:
    text = ", ".join(selectors)
    return text if len(text) <= _MAX_SELECTOR else f"{text[:_MAX_SELECTOR]}…"
