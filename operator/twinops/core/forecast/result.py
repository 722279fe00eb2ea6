"""What the memory of a twin has to say at one sync: forecasts, chances, what is normal, and how good it all is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.forecast.horizon import HorizonForecast


@dataclass(frozen=True, slots=True)
class Skill:
    """How well one metric has been foreseen, with a mean age of three days.

    Attributes:
        metric: its name.
        error: weighted interval score relative to naive's under the same calibrator, mean over the horizons; None
            before ``MIN_CHECKS``.
        coverage: share of values that came inside the 90 % interval, None likewise.
        width: of the 90 % interval, relative to naive's, None likewise.
        checks: matured checks, the least over the horizons.
        trusted: whether the ensemble is published at every horizon; if not, naive is at some.
        state: what a restart resumes from, as text; at most 300 bytes for three horizons.
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
    """What is foreseen and what is normal, by metric name.

    Attributes:
        forecasts: one per horizon; metrics with fewer than ``MIN_SAMPLES`` values are left out.
        exceedance: per horizon, the probability that any step until then lies beyond the metric's limit. Metrics
            without a limit, or with fewer than ``MIN_CHECKS`` checks of it, are left out.
        baselines: of the learned baseline, where one is learned.
        skills: of every metric with a forecast.
        samples: known values of every metric.
        warming: whether the full backtest is still to come.
        history_complete: False while history that can be had is still to be read from the metrics backend.
    """

    forecasts: Mapping[str, Sequence[HorizonForecast]] = dataclasses.field(default_factory=dict)
    exceedance: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    baselines: Mapping[str, BaselineEstimate] = dataclasses.field(default_factory=dict)
    skills: Sequence[Skill] = ()
    samples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warming: bool = False
    history_complete: bool = True
