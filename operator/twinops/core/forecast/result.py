"""The forecast result of one sync: forecasts, exceedance probabilities, baseline estimates and skill."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.forecast.horizon import HorizonForecast


@dataclass(frozen=True, slots=True)
class Skill:
    """The skill of one metric's forecasts, averaged with a mean age of three days.

    Attributes:
        metric: its name.
        error: weighted interval score relative to naive's under the same calibration, mean over the horizons; None
            before ``MIN_CHECKS``.
        coverage: share of values inside the 90 % interval, None likewise.
        width: of the 90 % interval, relative to naive's, None likewise.
        checks: matured checks, the least over the horizons.
        trusted: whether the ensemble is published at every horizon; if not, naive is at some.
        state: packed state that a restart resumes from.
    """

    metric: str
    error: float | None
    coverage: float | None
    width: float | None
    checks: int
    trusted: bool = True
    state: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ForecastResult:
    """Forecasts, exceedance probabilities and baseline estimates, by metric name.

    Attributes:
        forecasts: one per horizon; metrics with fewer than ``MIN_SAMPLES`` values are left out.
        exceedance: per horizon, the probability that any step until then lies beyond the metric's limit. Metrics
            without a limit, or with fewer than ``MIN_CHECKS`` checks of it, are left out.
        baselines: baseline estimates, where a baseline is learned.
        skills: of every metric with a forecast.
        samples: number of known values of every metric.
        warming: whether the full backtest is still to come.
        history_complete: False while available history is still to be read from the metrics backend.
        restart_state: the packed states of all metrics as one text; empty where there are none yet.
    """

    forecasts: Mapping[str, Sequence[HorizonForecast]] = dataclasses.field(default_factory=dict)
    exceedance: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    baselines: Mapping[str, BaselineEstimate] = dataclasses.field(default_factory=dict)
    skills: Sequence[Skill] = ()
    samples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warming: bool = False
    history_complete: bool = True
    restart_state: str = ""

    @property
    def nothing_yet(self) -> bool:
        """Tell whether there are no forecasts because the history that they need is still to be read."""
        return not self.history_complete and not self.forecasts and not self.skills
