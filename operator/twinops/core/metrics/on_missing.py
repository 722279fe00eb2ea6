"""``spec.source.metrics[].onMissing``: the stand-in for a missing value (the last one, a fixed one or none)."""

from __future__ import annotations

import dataclasses

from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import MetricSpec, OnMissing
from twinops.core.observation import Sample


def with_last_time(sample: Sample, previous: ObservedMetric | None, now: float) -> Sample:
    """Return the sample of a metric whose series have ended, with the time of the newest sample at the last sync."""
    ended = sample.quality is Quality.STALE and sample.time is None
    if not ended or previous is None or previous.time is None or previous.query != sample.query:
        return sample
    time = previous.time.timestamp()
    return dataclasses.replace(
        sample, time=time, message=f"its series ended; the newest sample is {now - time:.0f} s old"
    )


def apply_on_missing(sample: Sample, rules: MetricSpec, previous: ObservedMetric | None, now: float) -> Sample:
    """Apply the spec's ``onMissing`` to a sample without a value. A stand-in never makes a correction eligible.

    ``Hold`` gives the last good value with its own time, and keeps the reason of the bad answer; ``Value`` keeps the
    bad quality beside the value.

    Args:
        sample: the answer; a good or bounded one is returned as it is.
        rules: the spec's entry for the metric.
        previous: the metric's answer at the last sync, None where there is none.
        now: Unix seconds.
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
