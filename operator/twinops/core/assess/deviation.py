"""The deviation of each component from its expected state at one sync, without regard to earlier syncs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twinops.api.twin.drift import Direction, Severity
from twinops.api.twin.spec import ExpectedState, ReplicaRange
from twinops.core.assess.advice import label_advice, metric_advice, obstacle, replicas_advice, shown, version_advice
from twinops.core.assess.tolerance import DEFAULT_THRESHOLD_PERCENT, Tolerance
from twinops.core.observation import Workload

LOW_UP_TO = 1.5
MEDIUM_UP_TO = 2.5
HIGH_UP_TO = 4.0
"""Ratios of deviation to threshold at which the next severity begins."""

REPLICAS = "replicas"
VERSION = "version"

_MAX_WORD = 128
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """One component's deviation to one side, at one sync.

    Attributes:
        component: metric name, or ``replicas``, ``version``, ``labels.KEY``.
        direction: side of the deviation.
        severity: how bad it is.
        expected: the expected state, in words.
        actual: the actual state, in words.
        outside: beyond the threshold, or the limit.
        cleared: under 80 % of the threshold (hysteresis).
        recommendation: what a person should do.
        obstacle: why a replica change cannot mend it, empty when it can.
        deviation_percent: deviation in percent of the expected value, None where that has no finite value.
        threshold_percent: the threshold, likewise.
        has_threshold: False where neither spec nor baseline gives one; such a finding never counts as drift.
        harmless: whether it is on the side that does no harm.
        since: Unix seconds from when on it has been outside, where that is known better than by counting syncs.
        learned: whether the expected state was learned.
        starts_correction: whether the deviation is large enough for a first correction.
        ends_correction: whether it is too small even for a correction to go on.
    """

    component: str
    direction: Direction
    severity: Severity
    expected: str
    actual: str
    outside: bool
    cleared: bool
    recommendation: str
    obstacle: str
    deviation_percent: float | None = None
    threshold_percent: float | None = None
    has_threshold: bool = True
    harmless: bool = False
    since: float | None = None
    learned: bool = False
    starts_correction: bool = True
    ends_correction: bool = False


def severity_of(ratio: float) -> Severity:
    """Return the severity of a deviation of ``ratio`` times its threshold; a boundary belongs to the lower severity."""
    ratio *= 1 - _ROUNDING
    if ratio <= LOW_UP_TO:
        return Severity.LOW
    if ratio <= MEDIUM_UP_TO:
        return Severity.MEDIUM
    return Severity.HIGH if ratio <= HIGH_UP_TO else Severity.CRITICAL


def label_component(key: str) -> str:
    """Return the name of a label's component, cut to what the schema allows."""
    return f"labels.{key}"[:_MAX_WORD]


def metric_findings(allowed: Tolerance, value: float) -> Iterator[Finding]:
    """Yield one finding per side for a fresh, finite value."""
    for above in (True, False):
        reach = allowed.reach(above=above)
        harmful = allowed.harmful(above=above)
        if reach is None:
            outside = allowed.deviation(value, above=above) > 0
            reason = f"there is no threshold for {allowed.metric}"
        else:
            outside = allowed.outside(value, above=above)
            reason = obstacle(allowed.metric, above=above, harmful=harmful)
        yield Finding(
            component=allowed.metric,
            direction=Direction.ABOVE if above else Direction.BELOW,
            severity=metric_severity(allowed, value, above=above),
            expected=shown(allowed.metric, allowed.expected),
            actual=shown(allowed.metric, value),
            outside=outside,
            cleared=allowed.cleared(value, above=above),
            recommendation=metric_advice(allowed, value, above=above),
            obstacle=reason,
            deviation_percent=rounded(allowed.percent(value - allowed.expected)),
            threshold_percent=None if reach is None else rounded(allowed.percent(reach)),
            has_threshold=reach is not None,
            harmless=not harmful,
        )


def rounded(percent: float | None) -> float | None:
    """Return a percentage as status shows it."""
    return None if percent is None else round(percent, 1)


def metric_severity(allowed: Tolerance, value: float, *, above: bool) -> Severity:
    """Return the severity of the value's deviation to this side."""
    if not allowed.harmful(above=above):
        return Severity.LOW
    if allowed.past_limit(value, above=above):
        return Severity.CRITICAL
    scale = allowed.scale(above=above)
    return Severity.LOW if scale is None else severity_of(allowed.deviation(value, above=above) / scale)


def target_findings(expected: ExpectedState, workload: Workload) -> Iterator[Finding]:
    """Yield the findings about the target's replicas, version and labels that have an expected state."""
    if expected.replicas is not None:
        yield from _replicas(expected.replicas, workload.ready)
    if expected.version is not None and workload.version is not None:
        advice = version_advice(expected.version, workload.version)
        yield _text(VERSION, expected.version, workload.version, Severity.MEDIUM, advice)
    for key, value in sorted(expected.labels.items()):
        actual = workload.labels.get(key)
        yield _text(label_component(key), value, actual, Severity.LOW, label_advice(key, value, actual))


def _replicas(allowed: ReplicaRange, ready: int) -> Iterator[Finding]:
    for bound, above in ((allowed.max, True), (allowed.min, False)):
        if bound is None:
            continue
        off = ready - bound if above else bound - ready
        # A bound of 0 has no percentage; one replica is then as far off as one of one.
        share = off / max(bound, 1) * 100
        none_ready = not above and ready == 0 and bound > 0
        yield Finding(
            component=REPLICAS,
            direction=Direction.ABOVE if above else Direction.BELOW,
            severity=Severity.CRITICAL if none_ready else severity_of(share / DEFAULT_THRESHOLD_PERCENT),
            expected=_range(allowed),
            actual=str(ready),
            outside=off > 0,
            cleared=off <= 0,
            recommendation=replicas_advice(ready, bound, above=above)
            if off > 0
            else f"{ready} ready, as expected: nothing to do unless it changes",
            obstacle=obstacle(REPLICAS, above=above, harmful=True),
            deviation_percent=round((ready - bound) / bound * 100, 1) if bound else None,
        )


def _range(allowed: ReplicaRange) -> str:
    if allowed.max is None:
        return f"at least {allowed.min}"
    if allowed.min is None:
        return f"at most {allowed.max}"
    return str(allowed.min) if allowed.min == allowed.max else f"{allowed.min} to {allowed.max}"


def _text(component: str, expected: str, actual: str | None, severity: Severity, advice: str) -> Finding:
    differs = actual != expected
    return Finding(
        component=component,
        direction=Direction.DIFFERENT,
        severity=severity if differs else Severity.LOW,
        expected=expected[:_MAX_WORD],
        actual=("none" if actual is None else actual)[:_MAX_WORD],
        outside=differs,
        cleared=not differs,
        recommendation=advice if differs else f"{component} is {expected} again: nothing to do unless it changes",
        obstacle=obstacle(component, above=False, harmful=True),
    )
