"""Metrics that are excluded from calibration or from risk because a correction changes them."""

from __future__ import annotations

from twinops.api.twin.corrections import CorrectionRecord, Outcome
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.state import TwinState
from twinops.metric_definitions import standard_names

_OFFERED = frozenset(standard_names(lambda row: row.offered))
_CHANGED_BY_REPLICAS = frozenset(standard_names(lambda row: not row.offered))
_CHANGED_SOMETHING = frozenset({Outcome.PENDING, Outcome.APPLIED, Outcome.VERIFIED, Outcome.REVERTED})


def calibration_excluded(spec: DigitalTwinSpec, state: TwinState, now: float) -> frozenset[str]:
    """Return the metrics whose values a correction changes now, so that no forecast may be checked against them.

    That holds from the correction until the saved value is restored, and for the longest horizon after that: until
    then forecasts mature that were made under the correction. It follows from the state alone, so that a restart
    changes nothing.

    A correction does not change offered load: throughput, connections, and every metric of the user's own that has a
    limit per replica, since it is a total that replicas share. All other metrics are excluded, those of unknown
    meaning and ``cpuUsage`` among them; of ``cpuUsage`` the forecaster goes on learning the total over all pods.

    Args:
        spec: with the metrics and horizons.
        state: that the last sync left.
        now: Unix seconds.
    """
    if not _corrected(spec, state, now):
        return frozenset()
    own = {metric.name for metric in spec.source.metrics} - spec.limits_per_replica.keys()
    return (_CHANGED_BY_REPLICAS | own) - _OFFERED


def risk_excluded(spec: DigitalTwinSpec, state: TwinState, now: float) -> frozenset[str]:
    """Return the metrics from which no exceedance probability may be learned.

    Beside those of ``calibration_excluded`` these are the ones with a limit per replica: the load stays the same under
    a correction, but the limit rises with the replicas, so that a value that would have exceeded it does not.
    """
    if not _corrected(spec, state, now):
        return frozenset()
    return calibration_excluded(spec, state, now) | spec.limits_per_replica.keys()


def _corrected(spec: DigitalTwinSpec, state: TwinState, now: float) -> bool:
    """Tell whether a correction is in force, or was less than the longest horizon ago."""
    return bool(state.saved_values) or any(_recent(record, spec, now) for record in state.corrections)


def _recent(record: CorrectionRecord, spec: DigitalTwinSpec, now: float) -> bool:
    """Tell whether this decision changed something less than the longest horizon ago."""
    since = now - (record.outcome_time or record.time).timestamp()
    # A clock that went back makes a change no older.
    return record.outcome in _CHANGED_SOMETHING and since < max(spec.predictions.horizons_seconds)
