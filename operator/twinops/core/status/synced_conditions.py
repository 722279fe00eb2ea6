"""Sets the conditions of a sync in which the metrics backend answered."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.api.conditions import ConditionStatus, ConditionType
from twinops.api.twin.observed import Health, Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.assessment import Assessment
from twinops.core.assess.drift import compared_components, counts_as_drift, has_expected_state, unavailable_components
from twinops.core.assess.health import ScoresWithLost, scores_with_lost
from twinops.core.assess.learned import still_learning
from twinops.core.forecast.horizon import MIN_SAMPLES
from twinops.core.metrics.idle import idle_metrics
from twinops.core.metrics.reasons import SampleReason
from twinops.core.observation import Observation
from twinops.core.status.base import UNKNOWN
from twinops.core.status.conditions import Conditions
from twinops.errors import SpecError

HEALTHY_FROM = 80
"""Score from which on a twin becomes healthy."""

UNHEALTHY_BELOW = 70
"""Score below which a healthy twin becomes unhealthy (hysteresis)."""

NO_FRESH_METRICS = "NoFreshMetrics"
"""Reason of a condition that is not known for lack of fresh values."""


def set_ready_condition(conditions: Conditions, refused: Mapping[str, SpecError]) -> None:
    """Set ``Ready`` and ``Stalled``: whether spec, target and metrics source are usable."""
    conditions.remove(ConditionType.RECONCILING)
    if refused:
        errors = [refused[metric] for metric in sorted(refused)]
        message = "; ".join(str(error) for error in errors)
        conditions.set_false(ConditionType.READY, errors[0].reason, message)
        conditions.set_true(ConditionType.STALLED, errors[0].reason, message)
        return
    conditions.remove(ConditionType.STALLED)
    conditions.set_true(ConditionType.READY, "Synced", "spec accepted, target resolved, metrics source answering")


def set_metrics_condition(conditions: Conditions, observation: Observation) -> None:
    """Set ``MetricsAvailable``: whether all metrics have fresh values, and which have none."""
    kind = ConditionType.METRICS_AVAILABLE
    idle = idle_metrics(observation.samples)
    not_good = [s for m, s in sorted(observation.samples.items()) if s.quality is not Quality.GOOD and m not in idle]
    words = [f"{s.metric} is {s.quality.value}" + (f" ({s.reason})" if s.reason else "") for s in not_good]
    bad = [sample for sample in not_good if not sample.bounded]
    without_traffic = [f"{metric} has nothing to measure without traffic" for metric in sorted(idle)]
    message = "; ".join([*words, *without_traffic, *observation.warnings])
    good = len(observation.samples) - len(bad) - len(idle)
    if good and not bad:
        fresh = f"fresh values for all {good} metrics" if good > 1 else "a fresh value for the one metric"
        conditions.set_true(kind, "AllAnswering", message or fresh)
    elif good:
        conditions.set_true(kind, "SomeMissing", message)
    elif any(sample.reason == SampleReason.PARTIAL_ANSWER for sample in bad):
        conditions.set_false(kind, SampleReason.PARTIAL_ANSWER, message)
    else:
        conditions.set_false(
            kind, "NoneAnswering", message or "no metric is asked for: add queries to spec.source.metrics"
        )


def set_predictions_condition(
    conditions: Conditions, observation: Observation, assessment: Assessment, *, kept: bool = False
) -> str:
    """Set ``PredictionsAvailable``, and return the text of the column PREDICTED for a twin without risks.

    Args:
        conditions: to set.
        observation: what was read.
        assessment: of that observation.
        kept: whether status goes on to show earlier predictions, since the history is being read again.
    """
    kind = ConditionType.PREDICTIONS_AVAILABLE
    collected = assessment.samples_collected
    withheld = f"; without a fresh value, and so not foreseen: {', '.join(sorted(assessment.withheld_forecasts))}"
    if assessment.forecasts:
        reason, message = _predictions_reason(observation, assessment)
        conditions.set_true(kind, reason, message + (withheld if assessment.withheld_forecasts else ""))
        unknown = len(assessment.withheld_forecasts - assessment.availability.idle)
        return f"steady, {unknown} unknown" if unknown else "steady"
    if kept:
        conditions.set_true(kind, "LoadingHistory", "as foreseen before; the history is being read again")
        return "steady"
    if assessment.withheld_forecasts:
        conditions.set_false(kind, NO_FRESH_METRICS, f"nothing is foreseen from a last value{withheld}")
        return UNKNOWN
    if collected is None:
        conditions.set_false(kind, "NoMetrics", "no metric has a value to learn from")
        return "no metrics"
    reason = "CollectingSamples" if observation.forecast_result.history_complete else "LoadingHistory"
    conditions.set_false(kind, reason, f"{collected} of {MIN_SAMPLES} samples")
    return f"collecting {collected}/{MIN_SAMPLES}"


def _predictions_reason(observation: Observation, assessment: Assessment) -> tuple[str, str]:
    """Return reason and message of ``PredictionsAvailable`` for a twin with forecasts."""
    if not observation.forecast_result.history_complete:
        return "LoadingHistory", "foreseen from what is known so far; the rest of the history is still being read"
    if observation.forecast_result.warming:
        return "Warming", "a first answer from a short look back; the whole history is being learned from"
    if not all(one.calibrated for found in assessment.forecasts.values() for one in found):
        return "Calibrating", "intervals are wide until 30 past forecasts could be checked"
    error = None if assessment.skill is None else assessment.skill.error
    naive = "" if error is None else f"; error {error:.2f} of naive's over the last three days"
    return "Predicting", f"intervals are measured on past forecasts{naive}"


def set_health_condition(conditions: Conditions, spec: DigitalTwinSpec, assessment: Assessment) -> None:
    """Set ``Healthy``, to Unknown where lost metrics could change the verdict.

    A verdict is given only where it is the same without the lost metrics and with their last known penalties, or where
    the workload is unhealthy whatever the lost metrics are now.
    """
    kind, health = ConditionType.HEALTHY, assessment.health
    was_healthy = conditions.status_of(kind) is ConditionStatus.TRUE
    lost = scores_with_lost(spec, health)
    score = assessment.health_score
    if lost is not None and lost.best < UNHEALTHY_BELOW:
        names = ", ".join(lost.metrics)
        conditions.set_false(kind, "ScoreLow", f"health {lost.best:.0f} of 100 at most, whatever {names} may be")
        return
    if score is None or (
        lost is not None and _is_healthy(score, was_healthy) is not _is_healthy(lost.last_known, was_healthy)
    ):
        conditions.set_unknown(kind, NO_FRESH_METRICS, _why_unknown(lost))
        return
    message = f"health {score} of 100" + _shares(health) + _costs(health)
    if _is_healthy(score, was_healthy):
        conditions.set_true(kind, "ScoreHigh", message)
    else:
        conditions.set_false(kind, "ScoreLow", message)


def _is_healthy(score: float, was_healthy: bool) -> bool:  # noqa: FBT001 - the last verdict, not a switch
    return score >= HEALTHY_FROM or (was_healthy and score >= UNHEALTHY_BELOW)


def _why_unknown(lost: ScoresWithLost | None) -> str:
    if lost is None:
        return "no metric that health is judged by has a value"
    names = ", ".join(lost.metrics)
    return (
        f"no fresh value of {names}: health was {lost.last_known:.0f} of 100 with what was last seen, "
        f"and {lost.without:.0f} is what the rest would make"
    )


def _shares(health: Health) -> str:
    """Return the known share of the weights and the metrics with a last known penalty, empty where all is known."""
    if health.confidence >= 1:
        return ""
    counted = {component.metric for component in health.components}
    last_known = [one.metric for one in health.last_known if one.metric in counted]
    as_last_seen = f", {', '.join(last_known)} as last seen" if last_known else ""
    return f" ({health.confidence:.0%} of it known{as_last_seen})"


def _costs(health: Health) -> str:
    """Return the three metrics that cost most, empty where none costs anything."""
    costly = sorted((c for c in health.components if c.points > 0), key=lambda c: -c.points)[:3]
    return f": {', '.join(f'{c.metric} costs {c.points:.0f}' for c in costly)}" if costly else ""


def set_drift_condition(
    conditions: Conditions, spec: DigitalTwinSpec, observation: Observation, assessment: Assessment
) -> str:
    """Set ``Drifted``, and return the text of the column DRIFT where drift is not known, else empty."""
    kind, drift = ConditionType.DRIFTED, assessment.drift
    if not has_expected_state(spec):
        conditions.set_unknown(kind, "NoExpectedState", "spec.expectedState names nothing to compare with")
        return UNKNOWN
    learning = still_learning(spec, observation.samples, observation.forecast_result.baselines)
    lost = unavailable_components(spec, observation.samples, observation.workload, assessment.availability.lost)
    rest = f"; still learning what is normal for {', '.join(learning)}" if learning else ""
    rest += f"; not known: {', '.join(sorted(lost))}" if lost else ""
    drifted = [alert for alert in drift.alerts if counts_as_drift(alert)]
    if drifted:
        words = (f"{a.component} is {a.actual}, expected {a.expected} ({a.severity.value})" for a in drifted)
        conditions.set_true(kind, "OutsideThreshold", "; ".join(words) + rest)
        return ""
    not_persistent = [alert.component for alert in drift.alerts if not alert.persistent and not alert.harmless]
    if drift.unknown:
        named = ", ".join(drift.unknown)
        conditions.set_unknown(kind, NO_FRESH_METRICS, f"no fresh value of what was outside when last seen: {named}")
        return UNKNOWN
    if lost and lost >= compared_components(spec, observation.samples):
        conditions.set_unknown(kind, NO_FRESH_METRICS, rest.removeprefix("; "))
        return UNKNOWN
    if learning and not not_persistent and _nothing_learned(spec, observation):
        conditions.set_unknown(kind, "Learning", rest.removeprefix("; ") + ", which takes a day of data")
        return "learning"
    within = "everything else is as expected" if lost else "everything is as expected"
    if not_persistent:
        within = f"outside, not in three of the last five syncs: {', '.join(not_persistent)}"
    conditions.set_false(kind, "WithinThreshold", within + rest)
    return ""


def _nothing_learned(spec: DigitalTwinSpec, observation: Observation) -> bool:
    baselines = observation.forecast_result.baselines.values()
    return all(one.expected is None for one in baselines) and not has_expected_state(spec, apart_from_learned=True)
