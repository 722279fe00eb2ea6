"""Every figure that was tuned, in one frozen place. Tuned on the even half of the benchmark's series only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

DAY = 86_400
HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Config:
    """The frozen configuration; ``digest`` names it.

    Attributes:
        fast: smoothing factor per step of the faster moving average.
        slow: of the slower one.
        trend: level gain, slope gain relative to it and damping of the damped trend.
        short_median: steps.
        long_median: steps.
        loss_half_life: checks over which a member's error is averaged.
        loss_power: weights are the mean errors to minus this power.
        young_checks: matured checks before which members can't be told apart, and naive stands.
        scale_half_life: checks, of the running mean absolute error that residuals are scaled by.
        scale_floor: least scale, as a share of the long-run one.
        long_half_life: checks, of the long-run one.
        quantile_step: of the tracking of each quantile, times max(1, abs(quantile)).
        hold_seconds: how long naive stands after a level shift.
        shift_margin: newest values further than this share of the day's range outside it are a level shift.
        most_pending: forecasts per horizon that wait for their outcome; longer horizons are checked more rarely.
        skill_seconds: mean age of the errors that skill is measured on.
        state_half_life: origins, of the rate of crossings per state.
        state_prior: origins that a state's rate leans on the rate in any state with.
        hour_prior: hours that the rate in the same minutes leans on it with.
        brier_half_life: origins, of each risk expert's score.
        brier_power: risk experts weigh their score to minus this power.
    """

    fast: float = 0.3
    slow: float = 0.07
    trend: tuple[float, float, float] = (0.8, 0.3, 0.9)
    short_median: int = 12
    long_median: int = 36
    loss_half_life: float = 100.0
    loss_power: int = 20
    young_checks: int = 10
    scale_half_life: float = 24.0
    scale_floor: float = 0.05
    long_half_life: float = 2016.0
    quantile_step: float = 0.03
    hold_seconds: float = 7200.0
    shift_margin: float = 0.5
    most_pending: int = 12
    skill_seconds: float = 3.0 * DAY
    state_half_life: float = 288.0
    state_prior: float = 4.0
    hour_prior: float = 1.0
    brier_half_life: float = 500.0
    brier_power: int = 8

    @property
    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of all figures."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


CONFIG = Config()
