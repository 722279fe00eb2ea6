"""Drift: what is expected of a twin against what is observed.

- Metrics are compared with their expected value, or with what was learned to be normal where the twin wants that
  (:mod:`twinops.core.assess.learned`); replicas, version and labels with those of the target.
- Alerts carry over from sync to sync by the rules of :mod:`twinops.core.assess.alerts`.
- ``detected`` says that some alert is persistent and does harm. CPU that idles at night is listed, but is harmless
  and nothing to report.
- Of a Bounded sample the bound is compared: one beyond what is allowed is drift, one within it is none. Neither is
  eligible for a correction.
- Only fresh values change an alert. Without one (missing, NaN, stale, held, a stand-in) it stays as it was and no new
  alert is raised. After the grace period (:mod:`twinops.core.assess.availability`) it is removed; if it was
  persistent, its component is listed in ``unknown`` until it has a value again.
- Latency and errors without any traffic (:mod:`twinops.core.metrics.idle`) count as inside.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping

from twinops.api.twin.drift import Drift, DriftAlert, Severity
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec, ExpectedState
from twinops.core.assess.alerts import AlertUpdates
from twinops.core.assess.debounce import after_gap
from twinops.core.assess.deviation import REPLICAS, VERSION, Finding, label_component, metric_findings, target_findings
from twinops.core.assess.learned import is_learned, learned_findings
from twinops.core.assess.tolerance import Tolerance, tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.metrics.idle import idle_metrics, zero_traffic
from twinops.core.observation import Sample, Workload

MAX_ALERTS = 64
"""Alerts in status, as the schema allows."""

LEARNING = "what is normal is still being learned"
"""Why an alert is not eligible while a metric has no baseline estimate."""

_SEVERITIES = tuple(Severity)


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
    """Compare what is expected with what is observed.

    Args:
        spec: the twin's spec; without an expected state there is no drift.
        samples: the answers of this sync, by metric.
        baselines: the baseline estimates, by metric.
        workload: the target as it is now, None when it is not known.
        previous: the drift of the last status, the only state.
        now: Unix seconds.
        lost: metrics without a fresh value for the grace period or longer.

    Returns:
        The alerts, worst first, at most ``MAX_ALERTS``.
    """
    updates = AlertUpdates.after(previous.alerts, now, spec.sync_frequency_seconds)
    alerts = [
        *_metric_alerts(spec, samples, baselines, updates, lost),
        *_target_alerts(spec, workload, updates),
    ]
    alerts.sort(key=lambda alert: (-_SEVERITIES.index(alert.severity), alert.component, alert.direction))
    unavailable = unavailable_components(spec, samples, workload, lost) - {alert.component for alert in alerts}
    return Drift(
        detected=any(counts_as_drift(alert) for alert in alerts),
        alerts=alerts[:MAX_ALERTS],
        unknown=[component for component in unresolved_components(previous) if component in unavailable],
    )


def counts_as_drift(alert: DriftAlert) -> bool:
    """Tell whether an alert is persistent and does harm."""
    return alert.persistent and not alert.harmless


def unresolved_components(drift: Drift) -> list[str]:
    """Return the components that have drifted and were not observed to be back inside, sorted."""
    drifted = (alert.component for alert in drift.alerts if counts_as_drift(alert))
    return sorted({*drift.unknown, *drifted})[:MAX_ALERTS]


def compared_components(spec: DigitalTwinSpec, samples: Mapping[str, Sample]) -> set[str]:
    """Return every component that has an expected state, or is to have one once it is learned."""
    expected = spec.expected_state
    components = {*expected.metrics, *(metric for metric in samples if is_learned(spec, metric))}
    return components | _unavailable_of_target(expected, None)


def unavailable_components(
    spec: DigitalTwinSpec, samples: Mapping[str, Sample], workload: Workload | None, lost: Collection[str]
) -> set[str]:
    """Return the compared components without an actual value, metrics within the grace period excepted."""
    unavailable = {component for component in compared_components(spec, samples) if component in lost}
    return unavailable | _unavailable_of_target(spec.expected_state, workload)


def _metric_alerts(
    spec: DigitalTwinSpec,
    samples: Mapping[str, Sample],
    baselines: Mapping[str, BaselineEstimate],
    updates: AlertUpdates,
    lost: Collection[str],
) -> Iterator[DriftAlert]:
    learned = sorted(metric for metric in {*samples, *baselines} if is_learned(spec, metric))
    idle = idle_metrics(samples)
    for metric in (*spec.expected_state.metrics, *learned):
        if metric in idle:
            traffic = zero_traffic(metric, samples)
            yield from updates.idle(metric, None if traffic is None else traffic.time)
            continue
        sample, baseline = samples.get(metric), baselines.get(metric) if metric in learned else None
        allowed = tolerance(spec, metric, baseline)
        if sample is not None and allowed is not None and (bound := _deciding_bound(allowed, sample)):
            yield from _alerts_from(_bound_findings(allowed, sample, bound), sample, updates)
        elif sample is None or not sample.actionable or sample.value is None or not math.isfinite(sample.value):
            if metric not in lost:
                yield from updates.unchanged(metric, _no_fresh_value(sample))
        elif allowed is None:
            yield from updates.unchanged(metric, LEARNING)
        elif baseline is not None:
            findings = learned_findings(spec, allowed, baseline, sample.value, updates.now)
            yield from _alerts_from(findings, sample, updates)
        else:
            yield from _alerts_from(metric_findings(allowed, sample.value), sample, updates)


def _alerts_from(findings: Iterator[Finding], sample: Sample, updates: AlertUpdates) -> Iterator[DriftAlert]:
    """Yield the alerts that the findings about one sample raise or continue."""
    at = updates.now if sample.time is None else sample.time
    for finding in findings:
        if alert := updates.of(finding, at):
            yield alert


def _no_fresh_value(sample: Sample | None) -> str:
    quality = Quality.MISSING if sample is None else sample.quality
    return f"no fresh value ({quality.value})"


def _deciding_bound(allowed: Tolerance, sample: Sample) -> tuple[str, float] | None:
    """Return the bound of a Bounded sample that lies beyond what is allowed or within it, with a word for its side.

    None where no bound decides, and for a metric of which low values do harm.
    """
    edge = allowed.edge(above=True)
    if not sample.bounded or edge is None or not allowed.harmful(above=True) or allowed.harmful(above=False):
        return None
    bound = sample.deciding_value(edge)
    return None if bound is None else ("at least" if bound > edge else "at most", bound)


def _bound_findings(allowed: Tolerance, sample: Sample, bound: tuple[str, float]) -> Iterator[Finding]:
    """Yield what a bound means for either side of its metric; a correction needs a measured value."""
    word, value = bound
    for finding in metric_findings(allowed, value):
        yield dataclasses.replace(
            finding,
            actual=f"{word} {finding.actual}",
            obstacle=f"not measured: {sample.message}",
            learned=allowed.learned,
        )


def _target_alerts(spec: DigitalTwinSpec, workload: Workload | None, updates: AlertUpdates) -> Iterator[DriftAlert]:
    expected = spec.expected_state
    if workload is not None:
        # What is read from the cluster is as of the sync.
        for finding in target_findings(expected, workload):
            if alert := updates.of(finding, updates.now):
                yield alert
    for component in sorted(_unavailable_of_target(expected, workload)):
        for alert in updates.unchanged(component, _no_fresh_value(None)):
            if not after_gap(alert.last_data_time, updates.now, updates.interval):
                yield alert


def _unavailable_of_target(expected: ExpectedState, workload: Workload | None) -> set[str]:
    """Return the components that are expected of the target and not known at this sync."""
    if workload is not None:
        return {VERSION} if expected.version is not None and workload.version is None else set()
    unknown = {label_component(key) for key in expected.labels}
    if expected.replicas is not None:
        unknown.add(REPLICAS)
    if expected.version is not None:
        unknown.add(VERSION)
    return unknown
