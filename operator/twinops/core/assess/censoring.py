"""Which metrics nothing is learned from because a correction changes them."""

from __future__ import annotations

from twinops.api.twin.corrections import CorrectionRecord, Outcome
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.state import TwinState
from twinops.metric_definitions import standard_names

_OFFERED = frozenset(standard_names(lambda row: row.offered))
_CHANGED_BY_REPLICAS = frozenset(standard_names(lambda row: not row.offered))
_CHANGED_SOMETHING = frozenset({Outcome.PENDING, Outcome.APPLIED, Outcome.VERIFIED, Outcome.REVERTED})


def calibration_excluded(spec: DigitalTwinSpec, state: TwinState, now: float) -> frozenset[str]:
    """Return the metrics that a correction bends now, so that nothing may be learned from their values.

    From a correction until its release, and for the longest horizon after: until then forecasts come due that
    were made under it. The state alone tells, so a restart changes nothing.

    Offered load is what it is under a correction, too: throughput, connections, and every metric of the user's own
    that has a limit per replica, for it is a total that replicas share. All others count as bent, those of unknown
    meaning among them, and ``cpuUsage``: who remembers it as a total over all pods goes on learning that total.

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
    """Return the metrics of which no chance of crossing a limit may be learned.

    Beside those of ``calibration_excluded`` these are the ones with a limit per replica: what is offered stays the
    same under a correction, but the limit moves with the replicas, so that what would have crossed it does not.
    """
    if not _corrected(spec, state, now):
        return frozenset()
    return calibration_excluded(spec, state, now) | spec.limits_per_replica.keys()


def _corrected(spec: DigitalTwinSpec, state: TwinState, now: float) -> bool:
    return bool(state.saved_values) or any(_recent(record, spec, now) for record in state.corrections)


def _recent(record: CorrectionRecord, spec: DigitalTwinSpec, now: float) -> bool:
    """Tell whether this decision changed something less than the longest horizon ago."""
    since = now - (record.outcome_time or record.time).timestamp()
    # A clock that went back makes a change no older.
    return record.outcome in _CHANGED_SOMETHING and since < max(spec.predictions.horizons_seconds)
