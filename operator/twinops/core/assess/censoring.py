"""What must not be learned from: values that are only lower bounds, and what a correction has touched."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import CorrectionRecord, DigitalTwinStatus, Outcome
from twinops.core.metrics.definitions import CONNECTIONS, CPU, ERRORS, LATENCY, STANDARD, THROUGHPUT, facts
from twinops.core.observation import Sample

FULL_PERCENT = 85.0
"""CPU above which throughput is what could be served, no longer what was offered."""

SOME_ERRORS = 0.01
"""Share of errors from which on throughput is served, likewise: clients that fail leave, or ask again."""

MANY_ERRORS = 0.05
"""Share of errors from which on the 95th percentile over all requests lies among those that failed."""

OFFERED = frozenset({THROUGHPUT, CONNECTIONS})
"""What clients bring, however many replicas there are to take it."""

_CHANGED_SOMETHING = frozenset({Outcome.PENDING, Outcome.APPLIED, Outcome.VERIFIED, Outcome.REVERTED})


def lower_bounds(samples: Mapping[str, Sample]) -> dict[str, str]:
    """Return the metrics whose value now is only a lower bound, and why, in words.

    A value that is not fresh is no bound, and proves nothing about another one. CPU counts in percent of its own
    basis: beyond 85 % of a limit requests wait, and of a request it is the best that is known.

    A quantile that is not measured at all (quality Bounded) has no value to begin with.
    """
    cpu, errors = _fresh(samples, CPU), _fresh(samples, ERRORS) or 0.0
    bounds: dict[str, str] = {}
    if _fresh(samples, THROUGHPUT) is not None:
        if cpu is not None and cpu > FULL_PERCENT:
            bounds[THROUGHPUT] = f"what is served; more may be offered: CPU is at {facts(CPU).show(cpu)}"
        elif errors >= SOME_ERRORS:
            bounds[THROUGHPUT] = f"what is served; more may be offered: {errors:.1%} of requests fail"
    if _fresh(samples, LATENCY) is not None and errors >= MANY_ERRORS:
        bounds[LATENCY] = f"of requests that ended; {errors:.1%} fail, and would have taken longer"
    return bounds


def calibration_excluded(spec: DigitalTwinSpec, previous: DigitalTwinStatus, now: float) -> frozenset[str]:
    """Return the metrics that a correction bends now, so that nothing may be learned from their values.

    From a correction until its release, and for the longest horizon after: until then forecasts come due that
    were made under it. The status alone tells, so a restart changes nothing.

    Offered load is what it is under a correction, too: throughput, connections, and every metric of the user's own
    that has a limit per replica, for it is a total that replicas share. All others count as bent, those of unknown
    meaning among them, and ``cpuUsage``: who remembers it as a total over all pods goes on learning that total.

    Args:
        spec: with the metrics and horizons.
        previous: the last status.
        now: Unix seconds.
    """
    if not _corrected(spec, previous, now):
        return frozenset()
    own = {metric.name for metric in spec.source.metrics} - spec.limits_per_replica.keys()
    return frozenset((STANDARD.keys() | own) - OFFERED)


def risk_excluded(spec: DigitalTwinSpec, previous: DigitalTwinStatus, now: float) -> frozenset[str]:
    """Return the metrics of which no chance of crossing a limit may be learned.

    Beside those of ``calibration_excluded`` these are the ones with a limit per replica: what is offered stays the
    same under a correction, but the limit moves with the replicas, so that what would have crossed it does not.
    """
    if not _corrected(spec, previous, now):
        return frozenset()
    return calibration_excluded(spec, previous, now) | spec.limits_per_replica.keys()


def _corrected(spec: DigitalTwinSpec, previous: DigitalTwinStatus, now: float) -> bool:
    return bool(previous.originals) or any(_recent(record, spec, now) for record in previous.corrections)


def _recent(record: CorrectionRecord, spec: DigitalTwinSpec, now: float) -> bool:
    """Tell whether this decision changed something less than the longest horizon ago."""
    since = now - (record.outcome_time or record.time).timestamp()
    # A clock that went back makes a change no older.
    return record.outcome in _CHANGED_SOMETHING and since < max(spec.predictions.horizons_seconds)


def _fresh(samples: Mapping[str, Sample], metric: str) -> float | None:
    sample = samples.get(metric)
    return sample.value if sample is not None and sample.actionable else None
