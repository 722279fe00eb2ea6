"""The texts of the columns of ``kubectl get digitaltwins``."""

from __future__ import annotations

from collections.abc import Sequence

from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord
from twinops.api.twin.drift import Drift, DriftAlert, Severity
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import Summary
from twinops.core.assess.drift import counts_as_drift
from twinops.core.observation import Workload

_SEVERITY_ORDER = {severity: place for place, severity in enumerate(Severity)}
MAX_WORDS = 128
"""Characters of a column, as the schema allows."""


def summarise(
    spec: DigitalTwinSpec,
    *,
    workload: Workload | None,
    drift: Drift,
    risks: Sequence[Risk],
    predicting: str,
    corrections: Sequence[CorrectionRecord],
    drift_unknown: str = "",
) -> Summary:
    """Return the columns of one twin.

    Args:
        spec: the twin's spec.
        workload: its target, None where it has none.
        drift: deviations from what is expected.
        risks: limits that are crossed now or foreseen to be.
        predicting: text of the column PREDICTED when there is no risk.
        corrections: the last decisions, oldest first.
        drift_unknown: text of the column DRIFT while drift is not known, else empty.
    """
    ref = spec.source.target_ref
    return Summary(
        target=f"{ref.kind}/{ref.name}"[:MAX_WORDS] if ref else "external",
        drift=drift_unknown or drift_words(drift.alerts),
        replicas="" if workload is None else replica_words(workload),
        predicted=risk_words(risks) or predicting,
        last_action=action_words(corrections),
    )


def replica_words(workload: Workload) -> str:
    """Return ready and desired replicas."""
    return f"{workload.ready}/{workload.desired}"


def drift_words(alerts: Sequence[DriftAlert]) -> str:
    """Return the worst alert in a few words, and how many more there are."""
    if not alerts:
        return "none"
    worst = max(alerts, key=_weight)
    size = f" {worst.deviation_percent:+.0f}%" if worst.deviation_percent is not None else ""
    more = f" +{len(alerts) - 1}" if len(alerts) > 1 else ""
    return f"{worst.component}{size} ({worst.severity.value}){more}"[:MAX_WORDS]


def _weight(alert: DriftAlert) -> tuple[bool, int, float]:
    return counts_as_drift(alert), _SEVERITY_ORDER[alert.severity], abs(alert.deviation_percent or 0)


def risk_words(risks: Sequence[Risk]) -> str:
    """Return the likeliest risk in a few words, empty when there is none."""
    if not risks:
        return ""
    worst = max(risks, key=lambda risk: risk.probability)
    return worst.message[:MAX_WORDS]


def action_words(corrections: Sequence[CorrectionRecord]) -> str:
    """Return the last decision in a few words, empty when there was none."""
    if not corrections:
        return ""
    last = corrections[-1]
    verb = "raise" if last.action is CorrectionAction.RAISE else "give back"
    field = last.field.removeprefix("spec.")
    before = "unset" if last.from_ is None else last.from_
    after = "unset" if last.to is None else last.to
    return f"{verb} {field} {before}→{after} ({last.outcome.value})"[:MAX_WORDS]
