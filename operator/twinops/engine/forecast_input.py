"""What a sync hands to its twin's forecaster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from twinops.core.forecast.forecaster import Forecaster
from twinops.core.observation import Sample

REPLICAS = ""
"""Stands for the number of pods among the metrics that are read; no metric has an empty name."""


@dataclass(frozen=True, slots=True, eq=False)
class ForecastInput:
    """What one sync gathered.

    Attributes:
        now: Unix seconds.
        queries: rendered query by metric; a metric that is left out keeps the history it has.
        samples: by metric; a metric that is not among them is forgotten. Only actionable ones count.
        limits: in force now, by metric.
        replicas_query: counts the pods behind ``cpuUsage`` over time; empty when it is not a mean over known pods.
        replicas: number of these pods now, None where it is not known.
        calibration_excluded: metrics that a correction bends: nothing is learned from them.
        risk_excluded: metrics whose limit a correction moves: no exceedance probability is learned from them.
        censored: metrics of which only a lower bound is known.
        restart_state: of the twin, as ``core.forecast.restart_state`` writes it; its parts are marked with their query.
    """

    now: float
    queries: Mapping[str, str]
    samples: Mapping[str, Sample]
    limits: Mapping[str, float] = field(default_factory=dict)
    replicas_query: str = ""
    replicas: int | None = None
    calibration_excluded: Collection[str] = ()
    risk_excluded: Collection[str] = ()
    censored: Collection[str] = ()
    restart_state: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SlotInput:
    """The values of one slot of a twin's time grid.

    Attributes:
        slot: its number.
        time: of the slot, Unix seconds.
        values: by metric; a forecaster ignores those of metrics that it does not forecast.
        forecast_input: of the sync that the values came with; of the sync after a gap for values inside the gap.
    """

    slot: int
    time: float
    values: Mapping[str, float | None]
    forecast_input: ForecastInput

    def feed(self, forecaster: Forecaster) -> None:
        """Let a forecaster observe the values, unless they are older than the newest it has."""
        if forecaster.newest is None or self.slot >= forecaster.newest:
            given = self.forecast_input
            forecaster.observe(
                self.time,
                self.values,
                limits=given.limits,
                replicas=given.replicas,
                calibration_excluded=given.calibration_excluded,
                risk_excluded=given.risk_excluded,
                censored=given.censored,
            )
