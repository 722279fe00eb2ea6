"""Every tuned figure, frozen. They were tuned on the even half of the benchmark's series only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

DAY = 86_400
HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Config:
    """The frozen configuration, identified by ``digest``.

    Attributes:
        fast: smoothing factor per step of the faster moving average.
        slow: of the slower one.
        trend: level gain, slope gain relative to it and damping of the damped trend.
        climb: the same of a trend with weaker damping, for steady climbs.
        climb_gate: slopes under this many standard deviations of the slope that noise alone gives count as 0.
        climb_lead: steps ahead at which a climb is detected.
        climb_seen: number of newest forecasts at that lead that must agree.
        climb_share: largest sum of their errors, as a share of naive's.
        climb_seconds: longest horizon for which a climb is extrapolated.
        short_median: steps.
        long_median: steps.
        loss_half_life: checks over which a member's error is averaged.
        loss_power: weights are the mean errors to minus this power.
        young_checks: matured checks before which weights are not significant, and naive is published.
        scale_half_life: checks, of the running mean absolute error that residuals are scaled by.
        scale_floor: least scale, as a share of the long-run one.
        long_half_life: checks, of the long-run one.
        quantile_step: of the tracking of each quantile, times max(1, abs(quantile)).
        hold_seconds: how long naive is published after a level shift.
        shift_margin: newest values further than this share of the day's range outside it are a level shift.
        shift_known: known cells that a usual range needs: three hours of five minutes.
        most_pending: bound of the pending forecasts per horizon; longer horizons are checked more rarely.
        skill_seconds: mean age of the errors that skill is measured on.
        state_half_life: origins, of the rate of crossings per state.
        state_prior: weight, in origins, of the rate in any state as prior of a state's rate.
        brier_half_life: origins, of each risk expert's score.
        brier_power: weights of the risk experts are their scores to minus this power.
        slot_decay: per visit, of the rate of crossings in the same part of the hour.
        slot_prior: weight, in visits, of the rate in any state as its prior.
        evidence: number of crossings at which rates have half of their weight.
        risk_slot_seconds: length of such a part.
        risk_levels: of the quantiles of the path maximum.
        risk_states: bounds between the states, in seconds since the last value beyond the limit.
    """

    fast: float = 0.3
    slow: float = 0.07
    trend: tuple[float, float, float] = (0.8, 0.3, 0.9)
    climb: tuple[float, float, float] = (0.6, 0.3, 0.98)
    climb_gate: float = 3.0
    climb_lead: int = 3
    climb_seen: int = 5
    climb_share: float = 0.6
    climb_seconds: float = 600.0
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
    shift_known: int = 36
    most_pending: int = 12
    skill_seconds: float = 3.0 * DAY
    state_half_life: float = 144.0
    state_prior: float = 4.0
    brier_half_life: float = 500.0
    brier_power: int = 6
    slot_decay: float = 0.9
    slot_prior: float = 1.0
    evidence: float = 10.0
    risk_slot_seconds: int = 300
    risk_levels: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
    risk_states: tuple[float, ...] = (300, 1200, 3900, 11_100, 86_700)

    @property
    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of all figures, including ``LAYOUT``."""
        return _digest(self)


@dataclass(frozen=True, slots=True)
class Layout:
    """Figures that are the same whatever the configuration is; they are part of its digest.

    Attributes:
        window: steps that moving averages read; weights of older ones are below a hundredth.
        level: smoothing factor per step of a level above a profile.
        shift_steps: newest values that must all lie outside for a level shift.
        fine_cell: seconds of a cell of the last day; longer where the step is.
        coarse_cell: seconds of a cell of the weeks before.
        median_days: days of the daily profile that is a median.
        mean_days: days of the daily profile that is a mean; nothing reads further back.
        mean_decay: weight of a day relative to the one after it.
        weekly_from: least age in days of the weekly profile.
        weekly: days back and weight.
        hours: hours of the hourly profile.
        gate_opens: score relative to naive's below which the ensemble is published.
        gate_shuts: the same above which naive is.
    """

    window: int = 72
    level: float = 0.1
    shift_steps: int = 2
    fine_cell: int = 300
    coarse_cell: int = 900
    median_days: int = 7
    mean_days: int = 14
    mean_decay: float = 0.7
    weekly_from: int = 15
    weekly: tuple[tuple[int, float], ...] = ((7, 1.0), (14, 0.7))
    hours: int = 24
    gate_opens: float = 0.95
    gate_shuts: float = 1.02


LAYOUT = Layout()


@lru_cache(maxsize=64)
def _digest(config: Config) -> str:
    text = json.dumps([dataclasses.asdict(config), dataclasses.asdict(LAYOUT)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


CONFIG = Config()
