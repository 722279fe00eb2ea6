"""Drift: expected against actual, with memory of the last syncs.

An alert stands for one component on one side (``component`` and ``direction`` together name it, so that a
value that swings from far below to far above is two alerts, each with a window of its own).

- It is listed at the first sync outside. It goes when it is not persistent and the last three syncs were
  inside: from then on its window could not help it to persistence any more. Until then it keeps its
  ``since`` and its window, also at syncs that find the value inside.
- It is persistent by :mod:`twinops.core.assess.debounce`.
- ``detected`` says that some alert that does harm is persistent. A CPU that idles at night is listed, and is
  nothing that anybody should be told of.
- A metric without an expected value is judged by what was learned to be normal, where the twin wants that
  (:mod:`twinops.core.assess.learned`).
- A bound that lies beyond what is allowed is drift, one within it is none; neither is eligible.
- It moves only on fresh values. Without one (missing, NaN, stale, held, a stand-in) it stays as it was,
  window and all, but is not eligible; and no new alert is raised. After the grace period (:mod:`.availability`)
  it goes, and is not over: a persistent one is named among ``unknown`` until its component is seen again.
- Latency and errors without any traffic (:mod:`twinops.core.metrics.idle`) are back inside.
- A sample counts once, however often it is looked at; after a gap (``debounce.after_gap``) an alert begins
  anew. What is read from the cluster is as of the sync.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from twinops.api.base import utc
from twinops.api.twin.drift import Direction, Drift, DriftAlert, Severity
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec, ExpectedState
from twinops.core.assess.debounce import ENOUGH, WINDOW, after_gap, is_new, persistent, push
from twinops.core.assess.deviation import REPLICAS, VERSION, Finding, label_component, metric_findings, target_findings
from twinops.core.assess.learned import is_learned, learned_findings
from twinops.core.assess.tolerance import Tolerance, tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.metrics.idle import idle_metrics
from twinops.core.observation import Sample, Workload
from twinops.metric_definitions import THROUGHPUT

MAX_ALERTS = 64

NO_TRAFFIC = "no traffic"

LEARNING = "what is normal is still being learned"

_SEVERITIES = tuple(Severity)
_Standing = Mapping[tuple[str, Direction], DriftAlert]


def has_expected_state(spec: DigitalTwinSpec, *, apart_from_learned: bool = False) -> bool:
    """Tell whether the twin expects anything that drift could be measured against."""
    expected = spec.expected_state
    replicas = expected.replicas
    some_replicas = replicas is not None and (replicas.min is not None or replicas.max is not None)
    learned = expected.learned and not apart_from_learned
    return bool(expected.metrics or learned or some_replicas or expected.version or expected.labels)


def assess_drift(
    spec: DigitalTwinSpec,
    samples: Mapping[str, Sample],
    baselines: Mapping[str, BaselineEstimate],
    workload: Workload | None,
    previous: Drift,
    now: float,
    *,
    lost: Collection[str] = (),
) -> Drift:
    """Compare what is expected with what is.

    Args:
        spec: the twin's spec; without an expected state there is no drift.
        samples: the answers of this sync, by metric.
        baselines: what was learned to be normal, by metric.
        workload: the target as it is now, None when it is not known.
        previous: the drift of the last status. All the memory there is.
        now: Unix seconds.
        lost: metrics that are unknown for longer than the grace period.

    Returns:
        The alerts, worst first, at most ``MAX_ALERTS``.
    """
    standing = {(alert.component, alert.direction): alert for alert in previous.alerts}
    alerts = [
        *_of_metrics(spec, samples, baselines, standing, now, lost),
        *_of_target(spec, workload, standing, now),
    ]
    alerts.sort(key=lambda alert: (-_SEVERITIES.index(alert.severity), alert.component, alert.direction))
    gone = out_of_sight(spec, samples, workload, lost) - {alert.component for alert in alerts}
    return Drift(
        detected=any(lasting(alert) for alert in alerts),
        alerts=alerts[:MAX_ALERTS],
        unknown=[component for component in unknown_of(previous) if component in gone],
    )


def lasting(alert: DriftAlert) -> bool:
    """Tell whether an alert is persistent and does harm."""
    return alert.persistent and not alert.harmless


def unknown_of(drift: Drift) -> list[str]:
    """Return the components of which nobody would know, were nothing seen from now on, whether they are still off."""
    return sorted({*drift.unknown, *(alert.component for alert in drift.alerts if lasting(alert))})[:MAX_ALERTS]


def compared(spec: DigitalTwinSpec, samples: Mapping[str, Sample]) -> set[str]:
    """Return every component that has, or is to have, an expected state."""
    expected = spec.expected_state
    components = {*expected.metrics, *(metric for metric in samples if is_learned(spec, metric))}
    return components | _unknown_of_target(expected, None)


def out_of_sight(
    spec: DigitalTwinSpec, samples: Mapping[str, Sample], workload: Workload | None, lost: Collection[str]
) -> set[str]:
    """Return the components that should be compared and of which nothing is known, not even from a moment ago."""
    unseen = {component for component in compared(spec, samples) if component in lost}
    return unseen | _unknown_of_target(spec.expected_state, workload)


def _of_metrics(
    spec: DigitalTwinSpec,
    samples: Mapping[str, Sample],
    baselines: Mapping[str, BaselineEstimate],
    standing: _Standing,
    now: float,
    lost: Collection[str],
) -> Iterator[DriftAlert]:
    learned = sorted(metric for metric in {*samples, *baselines} if is_learned(spec, metric))
    idle = idle_metrics(samples)
    for metric in (*spec.expected_state.metrics, *learned):
        if metric in idle:
            yield from _calmed(metric, standing, samples[THROUGHPUT].time, now, spec.sync_frequency_seconds)
            continue
        sample, baseline = samples.get(metric), baselines.get(metric) if metric in learned else None
        allowed = tolerance(spec, metric, baseline)
        if sample is not None and allowed is not None and (bound := _told_by_bounds(allowed, sample)):
            yield from _of_bounds(allowed, sample, bound, standing, now, spec.sync_frequency_seconds)
            continue
        if sample is None or not sample.actionable or sample.value is None or not math.isfinite(sample.value):
            if metric not in lost:
                quality = Quality.MISSING if sample is None else sample.quality
                yield from _unmoved(metric, standing, f"no fresh value ({quality.value})")
            continue
        if allowed is None:
            yield from _unmoved(metric, standing, LEARNING)
            continue
        found = metric_findings(allowed, sample.value)
        if baseline is not None:
            found = learned_findings(spec, allowed, baseline, sample.value, now)
        for finding in found:
            at = now if sample.time is None else sample.time
            if alert := _alert(finding, standing, at, now, spec.sync_frequency_seconds):
                yield alert


def _told_by_bounds(allowed: Tolerance, sample: Sample) -> tuple[str, float] | None:
    """Return in a word and a figure what bounds tell of a metric that may be too high, None where they do not."""
    edge = allowed.edge(above=True)
    if not sample.bounded or edge is None or not allowed.harmful(above=True) or allowed.harmful(above=False):
        return None
    told = sample.told(edge)
    return None if told is None else ("at least" if told > edge else "at most", told)


def _of_bounds(
    allowed: Tolerance,
    sample: Sample,
    bound: tuple[str, float],
    standing: _Standing,
    now: float,
    interval: float,
) -> Iterator[DriftAlert]:
    """Yield what a bound gives or keeps alive; nothing is eligible by it."""
    word, told = bound
    at = now if sample.time is None else sample.time
    for finding in metric_findings(allowed, told):
        shown = dataclasses.replace(
            finding,
            actual=f"{word} {finding.actual}",
            obstacle=f"not measured: {sample.message}",
            learned=allowed.learned,
        )
        if alert := _alert(shown, standing, at, now, interval):
            yield alert


def _of_target(
    spec: DigitalTwinSpec, workload: Workload | None, standing: _Standing, now: float
) -> Iterator[DriftAlert]:
    expected = spec.expected_state
    if workload is not None:
        for finding in target_findings(expected, workload):
            if alert := _alert(finding, standing, now, now, spec.sync_frequency_seconds):
                yield alert
    for component in sorted(_unknown_of_target(expected, workload)):
        for alert in _unmoved(component, standing, f"no fresh value ({Quality.MISSING.value})"):
            if not after_gap(alert.last_data_time, now, spec.sync_frequency_seconds):
                yield alert


def _unknown_of_target(expected: ExpectedState, workload: Workload | None) -> set[str]:
    """Return the components that are expected of the target and cannot be told at this sync."""
    if workload is not None:
        return {VERSION} if expected.version is not None and workload.version is None else set()
    unknown = {label_component(key) for key in expected.labels}
    if expected.replicas is not None:
        unknown.add(REPLICAS)
    if expected.version is not None:
        unknown.add(VERSION)
    return unknown


def _alert(finding: Finding, standing: _Standing, at: float, now: float, interval: float) -> DriftAlert | None:
    """Return the alert that a finding gives or keeps alive, None when there is nothing to tell.

    Args:
        finding: what was found.
        standing: the alerts before.
        at: Unix seconds of the data behind the finding.
        now: Unix seconds.
        interval: seconds between two syncs.
    """
    before = standing.get((finding.component, finding.direction))
    if before is not None and after_gap(before.last_data_time, at, interval):
        before = None
    if before is None and not finding.outside:
        return None
    counts = before is None or is_new(before.last_data_time, at)
    recent, lasting = _judge(finding, before, counts=counts)
    if not finding.outside and not lasting and (recent.endswith("0" * ENOUGH) or not finding.judged):
        return None
    reason = _not_eligible(finding, recent, lasting=lasting, before=before)
    return DriftAlert(
        component=finding.component,
        severity=finding.severity,
        direction=finding.direction,
        expected=finding.expected,
        actual=finding.actual,
        deviation_percent=finding.deviation_percent,
        threshold_percent=finding.threshold_percent,
        since=_since(finding, before, now),
        recent=recent,
        last_data_time=utc(at) if before is None or counts else before.last_data_time,
        persistent=lasting,
        harmless=finding.harmless,
        learned=finding.learned,
        recommendation=finding.recommendation,
        eligible=not reason,
        not_eligible_reason=reason,
    )


def _judge(finding: Finding, before: DriftAlert | None, *, counts: bool) -> tuple[str, bool]:
    """Return the window with this sync in it when it counts, and whether the alert is persistent."""
    if not finding.judged:
        return "", False
    recent = "" if before is None else before.recent
    if counts:
        recent = push(recent, finding.outside)
    was = before is not None and before.persistent
    return recent, persistent(recent, was, finding.well_back)


def _since(finding: Finding, before: DriftAlert | None, now: float) -> datetime:
    if finding.since is not None:
        return utc(finding.since)
    return utc(now) if before is None else before.since


def _not_eligible(finding: Finding, recent: str, *, lasting: bool, before: DriftAlert | None) -> str:
    if finding.obstacle:
        return finding.obstacle
    if finding.well_back:
        return "back inside its threshold"
    if not lasting:
        return f"outside in {recent.count('1')} of the last {WINDOW} syncs; a correction waits for {ENOUGH}"
    if finding.slight or not (finding.ample or (before is not None and before.eligible)):
        return "the deviation is small; a correction needs a larger one"
    return ""


def _calmed(component: str, standing: _Standing, at: float | None, now: float, interval: float) -> Iterator[DriftAlert]:
    """Yield what stands of a metric of requests at a sync that knows that there are none: well back inside."""
    for before in standing.values():
        if before.component == component:
            finding = Finding(
                component=component,
                direction=before.direction,
                severity=before.severity,
                expected=before.expected,
                actual=NO_TRAFFIC,
                outside=False,
                well_back=True,
                recommendation="there is no traffic: nothing to do unless it comes back with it",
                obstacle="",
                threshold_percent=before.threshold_percent,
                harmless=before.harmless,
                learned=before.learned,
            )
            if alert := _alert(finding, standing, now if at is None else at, now, interval):
                yield alert


def _unmoved(component: str, standing: _Standing, reason: str) -> Iterator[DriftAlert]:
    """Yield what stands of a component at a sync that knows nothing new about it."""
    for alert in standing.values():
        if alert.component == component:
            yield alert.model_copy(update={"eligible": False, "not_eligible_reason": reason})
