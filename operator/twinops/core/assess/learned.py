"""Drift against the learned baseline: the findings about a metric without an expected value.

A finding is outside while an *alarm* of the baseline is active, not whenever a value lies outside the band: single
values beyond the band are usual, whereas the threshold of an alarm is tracked to a budget of false ones. Beside alarms
only a limit of the spec counts. Where ``thresholds`` or ``absoluteThresholds`` name the metric, a value within them is
inside, whatever alarms are active.

A correction needs more than an alarm: a metric of which more is worse, and a value above both the band and the allowed
deviation (20 % by default). Alarms without a side (a flat line, more or less movement than usual, no bursts) are
listed for a person to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from twinops.api.base import utc
from twinops.api.twin.drift import Direction, Severity
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.advice import (
    MeanDeviation,
    learned_advice,
    normal_range,
    obstacle,
    shown,
    sideless_advice,
    span,
)
from twinops.core.assess.debounce import CLEARED_BELOW
from twinops.core.assess.deviation import Finding, metric_severity, rounded
from twinops.core.assess.tolerance import Tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.baseline.learner import Alarm
from twinops.core.baseline.statistics import AnomalyKind
from twinops.core.observation import Sample
from twinops.metric_definitions import definition

_DAY = 86_400.0

_NO_SIDE = "the change has no side: more replicas mend no change of movement"


def is_learned(spec: DigitalTwinSpec, metric: str) -> bool:
    """Tell whether the metric's expected value is to be learned; one that is given wins."""
    return spec.expected_state.learned and metric not in spec.expected_state.metrics


def still_learning(
    spec: DigitalTwinSpec, samples: Mapping[str, Sample], baselines: Mapping[str, BaselineEstimate]
) -> tuple[str, ...]:
    """Return the metrics that have a value, but no baseline estimate yet; sorted."""
    return tuple(
        metric
        for metric, sample in sorted(samples.items())
        if is_learned(spec, metric)
        and sample.value is not None
        and (metric not in baselines or baselines[metric].expected is None)
    )


def learned_findings(
    spec: DigitalTwinSpec, allowed: Tolerance, baseline: BaselineEstimate, value: float, now: float
) -> Iterator[Finding]:
    """Yield one finding per side for a fresh, finite value, and one about the movement of its metric.

    Args:
        spec: the twin's spec.
        allowed: the learned tolerance.
        baseline: the metric's baseline estimate.
        value: in the metric's unit.
        now: Unix seconds.
    """
    named = allowed.metric in spec.thresholds or allowed.metric in spec.absolute_thresholds
    for above in (True, False):
        yield _sided(allowed, baseline, value, now, above=above, named=named)
    yield _sideless(allowed, baseline, value, now)


def _sided(
    allowed: Tolerance, baseline: BaselineEstimate, value: float, now: float, *, above: bool, named: bool
) -> Finding:
    alarm = baseline.alarm
    active = alarm is not None and alarm.detector.sign == (1 if above else -1)
    beyond, cleared = allowed.outside(value, above=above), allowed.cleared(value, above=above)
    past_limit = allowed.past_limit(value, above=above)
    outside = past_limit or (active and (beyond or not named))
    harmful, reach = allowed.harmful(above=above), allowed.reach(above=above)
    # A band of width 0 around 0 gives no deviation to measure the severity by.
    unmeasured = active and harmful and not past_limit and allowed.scale(above=above) is None
    since = baseline.since if active and outside else None
    expected, actual = normal_range(allowed.metric, baseline.lower, baseline.upper), shown(allowed.metric, value)
    off = allowed.deviation(value, above=above)
    mean = (
        _mean_deviation(allowed.metric, baseline, value, above=above) if active and outside and not past_limit else None
    )
    if mean is not None and alarm is not None:
        expected, actual, off = mean.expected, mean.actual, alarm.size
    return Finding(
        component=allowed.metric,
        direction=Direction.ABOVE if above else Direction.BELOW,
        severity=Severity.MEDIUM if unmeasured else metric_severity(allowed, value, above=above),
        expected=expected,
        actual=actual,
        outside=outside,
        cleared=_limit_cleared(allowed, value, above=above) and (not active or (named and cleared)),
        recommendation=learned_advice(
            allowed,
            baseline,
            value,
            above=above,
            outside=outside,
            since="" if since is None else _clock(since, now),
            mean=mean,
        ),
        obstacle=_obstacle(allowed.metric, above=above, harmful=harmful),
        deviation_percent=rounded(allowed.percent(off if above else -off)),
        threshold_percent=None if reach is None else rounded(allowed.percent(reach)),
        harmless=not harmful,
        since=since,
        learned=True,
        starts_correction=beyond,
        ends_correction=cleared,
    )


def _mean_deviation(metric: str, baseline: BaselineEstimate, value: float, *, above: bool) -> MeanDeviation | None:
    """Return the mean deviation behind an alarm over a window of several values.

    None without such an alarm, and where the value itself lies outside the band: then the value is shown.
    """
    alarm, edge = baseline.alarm, baseline.upper if above else baseline.lower
    if alarm is None or edge is None or alarm.detector.width == 1 or (value > edge if above else value < edge):
        return None
    side, over = "above" if above else "below", span(alarm.detector.width * baseline.step)
    return MeanDeviation(
        expected=f"at most {shown(metric, alarm.record)} {side} normal on average over {over}",
        actual=f"{shown(metric, value)}; {shown(metric, alarm.size)} {side} normal on average over {over}",
        off=shown(metric, alarm.size),
        usual=shown(metric, alarm.record),
        over=over,
    )


def _limit_cleared(allowed: Tolerance, value: float, *, above: bool) -> bool:
    """Tell whether the value is under ``CLEARED_BELOW`` of the way to this side's limit."""
    limit = allowed.limit_on(above=above)
    if limit is None:
        return True
    room = allowed.deviation(limit, above=above)
    return not allowed.past_limit(value, above=above) and (
        room <= 0 or allowed.deviation(value, above=above) <= CLEARED_BELOW * room
    )


def _obstacle(metric: str, *, above: bool, harmful: bool) -> str:
    if definition(metric).harmful_above is None:
        return f"{metric} has no side that is known to do harm; on what was learned alone nothing is corrected"
    return obstacle(metric, above=above, harmful=harmful)


def _sideless(allowed: Tolerance, baseline: BaselineEstimate, value: float, now: float) -> Finding:
    alarm, since = baseline.alarm, baseline.since
    active = alarm is not None and not alarm.detector.sign
    metric = allowed.metric
    expected, actual, advice = "its usual movement", "its usual movement", ""
    if alarm is not None and since is not None and active:
        expected, actual = _movement(metric, alarm, baseline.step, now - since)
        advice = sideless_advice(metric, alarm.detector.kind, shown(metric, value), expected, _clock(since, now))
    return Finding(
        component=metric,
        direction=Direction.DIFFERENT,
        # Missing bursts are seldom more than worth a look.
        severity=Severity.MEDIUM if active and not _is_silence(alarm) else Severity.LOW,
        expected=expected,
        actual=actual,
        outside=active,
        cleared=not active,
        recommendation=advice or f"{definition(metric).subject} moves as usual again: nothing to do unless it changes",
        obstacle=_NO_SIDE,
        since=since if active else None,
        learned=True,
    )


def _is_silence(alarm: Alarm | None) -> bool:
    return alarm is not None and alarm.detector.kind is AnomalyKind.SILENCE


_MOVEMENT: MappingProxyType[AnomalyKind, str] = MappingProxyType(
    {AnomalyKind.VARIANCE: "at most", AnomalyKind.CALM: "at least"}
)


def _movement(metric: str, alarm: Alarm, step: float, lasting: float) -> tuple[str, str]:
    """Return the movement that is normal, and the one that was observed, in words."""
    if bound := _MOVEMENT.get(alarm.detector.kind):
        every = f"in {span(step)}"
        return f"moves {bound} {shown(metric, alarm.record)} {every}", f"moves {shown(metric, alarm.size)} {every}"
    what = "change" if alarm.detector.kind is AnomalyKind.FLAT else "burst"
    return f"a {what} at least every {span(alarm.record * step)}", f"no {what} for {span(lasting)}"


def _clock(then: float, now: float) -> str:
    """Return a time as ``14:05 UTC``, with its date when it is a day ago or longer."""
    return f"{utc(then):%H:%M} UTC" if now - then < _DAY else f"{utc(then):%Y-%m-%d %H:%M} UTC"
