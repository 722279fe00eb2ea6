"""The operator's own metrics for Prometheus.

Metrics per twin are kept in one table and turned into series at each scrape: a metric object per twin and name would
take a hundred megabytes at 10,000 twins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from twinops.api.conditions import ConditionStatus, ConditionType, find
from twinops.api.twin.corrections import Outcome
from twinops.api.twin.predictions import ForecastSkill
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

SYNC_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LATE_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(slots=True)
class _Row:
    """The published values of one twin; None is not published."""

    uid: str
    last_sync: float | None = None
    health: int | None = None
    recommended: int | None = None
    drifted: bool | None = None
    skill: ForecastSkill | None = None
    risks: dict[str, float] = field(default_factory=dict)


Value = Callable[[_Row], float | None]

_PER_TWIN: tuple[tuple[str, str, Value], ...] = (
    ("twinops_last_sync_timestamp_seconds", "When the twin was last synced.", lambda row: row.last_sync),
    ("twinops_health_score", "Health of the twin, 0 to 100.", lambda row: row.health),
    (
        "twinops_recommended_replicas",
        "Replicas the twin would run now, whatever its mode.",
        lambda row: row.recommended,
    ),
    ("twinops_drift_detected", "1 while the twin is not as expected.", lambda row: row.drifted),
    (
        "twinops_forecast_error_ratio",
        "Error of the forecasts relative to naive, over the last three days.",
        lambda row: None if row.skill is None else row.skill.error,
    ),
    (
        "twinops_forecast_coverage_ratio",
        "Share of values that came inside the 90 % interval, over the last three days.",
        lambda row: None if row.skill is None else row.skill.coverage,
    ),
)


class _Twins(Collector):
    """The table of twins, as series."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], _Row] = {}

    def row(self, ref: TwinRef) -> _Row:
        """Return the row of a twin, a new one where another twin of the same name had one."""
        key = (ref.namespace, ref.name)
        row = self.rows.get(key)
        if row is None or row.uid != ref.uid:
            row = self.rows[key] = _Row(ref.uid)
        return row

    def collect(self) -> Iterator[Metric]:
        # A copy: the loop may add twins while a thread renders.
        rows = list(self.rows.items())
        yield GaugeMetricFamily("twinops_twins", "Twins this process serves.", value=len(rows))
        for name, text, value in _PER_TWIN:
            family = GaugeMetricFamily(name, text, labels=("namespace", "twin"))
            for key, row in rows:
                number = value(row)
                if number is not None:
                    family.add_metric(key, number)
            yield family
        risks = GaugeMetricFamily(
            "twinops_risk_probability",
            "How likely the metric crosses its limit within the horizon of the risk.",
            labels=("namespace", "twin", "metric"),
        )
        for key, row in rows:
            for metric, probability in tuple(row.risks.items()):
                risks.add_metric((*key, metric), probability)
        yield risks


class PrometheusTelemetry:
    """Satisfies ``ports.process.Telemetry`` with a registry of its own, so that several can live in one process.

    Args:
        clock: wall time of syncs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._registry = CollectorRegistry()
        self._twins = _Twins()
        self._registry.register(self._twins)
        self._syncs = self._counter("twinops_sync_total", "Syncs, by result.", "result")
        self._seconds = self._histogram("twinops_sync_duration_seconds", "How long syncs take.", SYNC_SECONDS)
        self._late = self._histogram(
            "twinops_sync_lag_seconds",
            "From the slot or request of a sync, the earliest that it answers, to its end.",
            LATE_SECONDS,
        )
        self._writes = self._counter(
            "twinops_status_writes_total", "Status writes by kind, and those that did not happen.", "kind"
        )
        self._restarts = self._counter(
            "twinops_daemons_restarted_total", "Twins that were found without a daemon, and given one."
        )
        self._corrections = self._counter(
            "twinops_corrections_total", "Outcomes of corrections.", "namespace", "outcome"
        )
        self._reverted = self._counter(
            "twinops_corrections_reverted_total", "Corrections that somebody else put back.", "namespace"
        )
        self._sources = self._gauge("twinops_metrics_source_up", "1 while the MetricsSource answers.", "source")
        self._leader = self._gauge("twinops_leader", "1 while this process leads.")

    def render(self) -> bytes:
        """Return everything in the Prometheus text format. May be called from a thread."""
        return generate_latest(self._registry)

    def synced(self, ref: TwinRef, *, result: str, seconds: float, late_seconds: float) -> None:
        """Count a sync that has ended."""
        self._twins.row(ref).last_sync = self._clock.now()
        self._syncs.labels(result).inc()
        self._seconds.observe(seconds)
        self._late.observe(max(0.0, late_seconds))

    def assessed(self, ref: TwinRef, status: DigitalTwinStatus) -> None:
        """Publish the assessment of a twin; unknown values are not published."""
        drifted = find(status.conditions, ConditionType.DRIFTED)
        unknown = drifted is not None and drifted.status is ConditionStatus.UNKNOWN
        row = self._twins.row(ref)
        row.health = status.health_score
        row.recommended = status.recommended_replicas
        row.drifted = None if unknown else status.drift.detected
        row.skill = None if status.forecast_skill is None else status.forecast_skill.model_copy(update={"metrics": []})
        row.risks = {risk.metric: risk.probability for risk in status.risks}

    def forget(self, ref: TwinRef) -> None:
        """Stop publishing about a deleted twin, but not about a newer one of the same name."""
        key = (ref.namespace, ref.name)
        row = self._twins.rows.get(key)
        if row is not None and row.uid == ref.uid:
            del self._twins.rows[key]

    def daemon_restarted(self) -> None:
        """Count a twin that had no daemon and was given one."""
        self._restarts.inc()

    def status_written(self, kind: str) -> None:
        """Count a status that was, or was not, written."""
        self._writes.labels(kind).inc()

    def corrected(self, ref: TwinRef, outcome: Outcome) -> None:
        """Count a correction with this outcome."""
        self._corrections.labels(ref.namespace, outcome.value).inc()

    def reverted(self, ref: TwinRef) -> None:
        """Count a change of a correction that another party has reverted."""
        self._reverted.labels(ref.namespace).inc()

    def source_answered(self, name: str, *, up: bool) -> None:
        """Publish whether a MetricsSource answers."""
        self._sources.labels(name).set(float(up))

    def source_gone(self, name: str) -> None:
        """Stop publishing about a MetricsSource."""
        self._sources.remove_by_labels({"source": name})

    def leads(self, *, leading: bool) -> None:
        """Publish whether this process leads; if not, stop publishing about all twins."""
        self._leader.set(float(leading))
        if not leading:
            self._twins.rows.clear()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)
