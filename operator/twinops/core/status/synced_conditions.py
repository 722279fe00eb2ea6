"""Setting the conditions of a sync in which the metrics backend answered."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.api.conditions import ConditionStatus, ConditionType
from twinops.api.twin.observed import Health, Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.assessment import Assessment
from twinops.core.assess.drift import compared, has_expected_state, lasting, out_of_sight
from twinops.core.assess.health import Hindsight, hindsight
from twinops.core.assess.learned import still_learning
from twinops.core.forecast.horizon import MIN_SAMPLES
from twinops.core.metrics.idle import idle_metrics
from twinops.core.metrics.reasons import SampleReason
from twinops.core.observation import Observation
from twinops.core.status.base import UNKNOWN
from twinops.core.status.conditions import Conditions
from twinops.errors import SpecError

HEALTHY_FROM = 80
"""A twin becomes healthy at this score."""

UNHEALTHY_BELOW = 70
"""A healthy twin stays so down to this score; the gap keeps the condition from flapping."""

NO_FRESH_METRICS = "NoFreshMetrics"
"""Reason of a condition of which nothing is known."""


def tell_ready(conditions: Conditions, refused: Mapping[str, SpecError]) -> None:
    """Say whether spec, target and metrics source are usable."""
    conditions.drop(ConditionType.RECONCILING)
    if refused:
        errors = [refused[metric] for metric in sorted(refused)]
        message = "; ".join(str(error) for error in errors)
        conditions.no(ConditionType.READY, errors[0].reason, message)
        conditions.yes(ConditionType.STALLED, errors[0].reason, message)
        return
    conditions.drop(ConditionType.STALLED)
    conditions.yes(ConditionType.READY, "Synced", "spec accepted, target resolved, metrics source answering")


def tell_metrics(conditions: Conditions, observation: Observation) -> None:
    """Say which metrics have no fresh value."""
    kind = ConditionType.METRICS_AVAILABLE
    idle = idle_metrics(observation.samples)
    odd = [s for m, s in sorted(observation.samples.items()) if s.quality is not Quality.GOOD and m not in idle]
    words = [f"{s.metric} is {s.quality.value}" + (f" ({s.reason})" if s.reason else "") for s in odd]
    bad = [sample for sample in odd if not sample.bounded]
    quiet = [f"{metric} has nothing to measure without traffic" for metric in sorted(idle)]
    message = "; ".join([*words, *quiet, *observation.warnings])
    good = len(observation.samples) - len(bad) - len(idle)
    if good and not bad:
        fresh = f"fresh values for all {good} metrics" if good > 1 else "a fresh value for the one metric"
        conditions.yes(kind, "AllAnswering", message or fresh)
    elif good:
        conditions.yes(kind, "SomeMissing", message)
    elif any(sample.reason == SampleReason.PARTIAL_ANSWER for sample in bad):
        conditions.no(kind, SampleReason.PARTIAL_ANSWER, message)
    else:
        conditions.no(kind, "NoneAnswering", message or "no metric is asked for: add queries to spec.source.metrics")


def tell_predictions(conditions: Conditions, observation: Observation, assessment: Assessment) -> str:
    """Set the condition, and return what the table says when no risk is foreseen."""
    kind = ConditionType.PREDICTIONS_AVAILABLE
    collected = assessment.samples_collected
    without = f"; without a fresh value, and so not foreseen: {', '.join(sorted(assessment.withdrawn))}"
    if assessment.forecasts:
        reason, message = _how_well(observation, assessment)
        conditions.yes(kind, reason, message + (without if assessment.withdrawn else ""))
        unknown = len(assessment.withdrawn - assessment.sight.idle)
        return f"steady, {unknown} unknown" if unknown else "steady"
    if assessment.withdrawn:
        conditions.no(kind, NO_FRESH_METRICS, f"nothing is foreseen from a last value{without}")
        return UNKNOWN
    if collected is None:
        conditions.no(kind, "NoMetrics", "no metric has a value to learn from")
        return "no metrics"
    reason = "CollectingSamples" if observation.forecast_result.history_complete else "LoadingHistory"
    conditions.no(kind, reason, f"{collected} of {MIN_SAMPLES} samples")
    return f"collecting {collected}/{MIN_SAMPLES}"


def _how_well(observation: Observation, assessment: Assessment) -> tuple[str, str]:
    """Return reason and message of a twin that predicts."""
    if not observation.forecast_result.history_complete:
        return "LoadingHistory", "foreseen from what is known so far; the rest of the history is still being read"
    if observation.forecast_result.warming:
        return "Warming", "a first answer from a short look back; the whole history is being learned from"
    if not all(one.calibrated for found in assessment.forecasts.values() for one in found):
        return "Calibrating", "intervals are wide until 30 past forecasts could be checked"
    error = None if assessment.skill is None else assessment.skill.error
    naive = "" if error is None else f"; error {error:.2f} of naive's over the last three days"
    return "Predicting", f"intervals are measured on past forecasts{naive}"


def tell_health(conditions: Conditions, spec: DigitalTwinSpec, assessment: Assessment) -> None:
    """Say whether the workload is well, where what is known tells.

    A metric that is lost makes a well twin neither sick nor a sick one well: the verdict stands only where it is the
    same with the metric as it was last seen, or where it is bad whatever the metric may be by now.
    """
    kind, health = ConditionType.HEALTHY, assessment.health
    was_healthy = conditions.of(kind) is ConditionStatus.TRUE
    lost = hindsight(spec, health)
    score = assessment.health_score
    if lost is not None and lost.best < UNHEALTHY_BELOW:
        names = ", ".join(lost.metrics)
        conditions.no(kind, "ScoreLow", f"health {lost.best:.0f} of 100 at most, whatever {names} may be")
        return
    if score is None or (lost is not None and _well(score, was_healthy) is not _well(lost.last, was_healthy)):
        conditions.unknown(kind, NO_FRESH_METRICS, _why_unknown(lost))
        return
    message = f"health {score} of 100" + _shares(health) + _costs(health)
    if _well(score, was_healthy):
        conditions.yes(kind, "ScoreHigh", message)
    else:
        conditions.no(kind, "ScoreLow", message)


def _well(score: float, was_healthy: bool) -> bool:  # noqa: FBT001 - the fact itself, not a switch
    return score >= HEALTHY_FROM or (was_healthy and score >= UNHEALTHY_BELOW)


def _why_unknown(lost: Hindsight | None) -> str:
    if lost is None:
        return "no metric that health is judged by has a value"
    names = ", ".join(lost.metrics)
    return (
        f"no fresh value of {names}: health was {lost.last:.0f} of 100 with what was last seen, "
        f"and {lost.known:.0f} is what the rest would make"
    )


def _shares(health: Health) -> str:
    """Return how much of what health is judged by is known, where it is not all."""
    if health.confidence >= 1:
        return ""
    counted = {component.metric for component in health.components}
    standing = [one.metric for one in health.last_known if one.metric in counted]
    told = f", {', '.join(standing)} as last seen" if standing else ""
    return f" ({health.confidence:.0%} of it known{told})"


def _costs(health: Health) -> str:
    costly = sorted((c for c in health.components if c.points > 0), key=lambda c: -c.points)[:3]
    return f": {', '.join(f'{c.metric} costs {c.points:.0f}' for c in costly)}" if costly else ""


def tell_drift(conditions: Conditions, spec: DigitalTwinSpec, observation: Observation, assessment: Assessment) -> str:
    """Say whether the workload is as expected, and return what the table says instead of the alerts, if anything."""
    kind, drift = ConditionType.DRIFTED, assessment.drift
    if not has_expected_state(spec):
        conditions.unknown(kind, "NoExpectedState", "spec.expectedState names nothing to compare with")
        return UNKNOWN
    learning = still_learning(spec, observation.samples, observation.forecast_result.baselines)
    lost = out_of_sight(spec, observation.samples, observation.workload, assessment.sight.lost)
    rest = f"; still learning what is normal for {', '.join(learning)}" if learning else ""
    rest += f"; not known: {', '.join(sorted(lost))}" if lost else ""
    found = [alert for alert in drift.alerts if lasting(alert)]
    if found:
        told = (f"{a.component} is {a.actual}, expected {a.expected} ({a.severity.value})" for a in found)
        conditions.yes(kind, "OutsideThreshold", "; ".join(told) + rest)
        return ""
    unsettled = [alert.component for alert in drift.alerts if not alert.persistent and not alert.harmless]
    if drift.unknown:
        named = ", ".join(drift.unknown)
        conditions.unknown(kind, NO_FRESH_METRICS, f"no fresh value of what was outside when last seen: {named}")
        return UNKNOWN
    if lost and lost >= compared(spec, observation.samples):
        conditions.unknown(kind, NO_FRESH_METRICS, rest.removeprefix("; "))
        return UNKNOWN
    if learning and not unsettled and _nothing_learned(spec, observation):
        conditions.unknown(kind, "Learning", rest.removeprefix("; ") + ", which takes a day of data")
        return "learning"
    within = "everything else is as expected" if lost else "everything is as expected"
    if unsettled:
        within = f"outside, not in three of the last five syncs: {', '.join(unsettled)}"
    conditions.no(kind, "WithinThreshold", within + rest)
    return ""


def _nothing_learned(spec: DigitalTwinSpec, observation: Observation) -> bool:
    baselines = observation.forecast_result.baselines.values()
    return all(one.expected is None for one in baselines) and not has_expected_state(spec, apart_from_learned=True)
