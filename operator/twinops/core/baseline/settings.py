"""The fixed configuration of the learned baseline."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class BaselineSettings:
    """The settings of the learned baseline. Times are in seconds, so that nothing depends on a step.

    Names and values make up the hash by which a result of the drift benchmark names its configuration.

    Attributes:
        step: finest grid on which anomalies are detected; faster samples are averaged onto it.
        level_block: length of the blocks whose means give the level.
        level_memory: the level is the median of the blocks of this time.
        error_half_life: of the errors by which level, daily or weekly shape is selected.
        shape_days: a new day has at least a weight of one part in this many in the daily shape.
        shape_weeks: a new week has at least a weight of one part in this many in the weekly shape.
        daily_gain: the daily shape is used when its error is below this share of the level's.
        weekly_gain: the weekly shape is used when its error is below this share of the daily shape's.
        daily_after: least age at which the daily shape is used.
        weekly_after: least age at which the weekly shape is used.
        clip: errors are clipped to this many times their usual size before the shape learns from them.
        spike: deviations that last no longer than this are spikes, longer ones level shifts.
        deviation_windows: windows over which deviations are averaged; one step is always among them.
        movement_windows: windows over which movement from step to step is averaged.
        calm_window: window over which a lack of movement is judged.
        least_calm: movement below this share of the usual counts as this share.
        burst: deviations beyond this many times their usual size are bursts.
        stir: movements beyond this share of their usual size are stirs.
        shortest_rest: least length of a quiet spell (without burst, or without stir).
        rests_needed: number of quiet spells from which on a long one is judged.
        floor: a record is at least this many times the usual size.
        standard_errors: a record lies at least this many standard errors from the usual size, as of independent noise.
        chance_of_rest: probability with which random stirs give a quiet spell longer than the least record.
        shift_windows: windows over which clipped deviations are averaged.
        huber: deviations are clipped to this many times their usual size.
        least: smallest size that counts, as a share of the usual absolute value.
        record_half_life: of records, exceptional or not.
        normal_half_life: of sizes that did not exceed their record by the least ratio.
        ratio: a size beyond this many times its record is an anomaly, at first.
        least_ratio: the threshold never falls below this ratio.
        raise_share: share by which each alarm raises the threshold.
        budget: time in which the threshold falls by as much as one alarm raises it.
        learning: known time before anything is judged.
        hold_off: time after the start of an alarm within which no further one starts.
        well_back: without effect; part of the configuration hash of published results.
    """

    step: float = 5 * MINUTE
    level_block: float = 30 * MINUTE
    level_memory: float = DAY
    error_half_life: float = 2 * DAY
    shape_days: int = 7
    shape_weeks: int = 3
    daily_gain: float = 0.7
    weekly_gain: float = 0.9
    daily_after: float = 2 * DAY
    weekly_after: float = 15 * DAY
    clip: float = 3.0
    spike: float = 15 * MINUTE
    deviation_windows: tuple[float, ...] = (15 * MINUTE, HOUR, 3 * HOUR)
    shift_windows: tuple[float, ...] = (3 * HOUR, 6 * HOUR)
    huber: float = 4.0
    movement_windows: tuple[float, ...] = (HOUR, 3 * HOUR, 6 * HOUR)
    calm_window: float = 6 * HOUR
    least_calm: float = 0.05
    burst: float = 4.0
    stir: float = 0.01
    shortest_rest: float = HOUR
    rests_needed: int = 8
    floor: float = 2.0
    standard_errors: float = 5.0
    chance_of_rest: float = 0.05
    least: float = 1e-6
    record_half_life: float = 14 * DAY
    normal_half_life: float = 56 * DAY
    ratio: float = 1.2
    least_ratio: float = 1.15
    raise_share: float = 0.05
    budget: float = 7 * DAY
    learning: float = DAY
    hold_off: float = 6 * HOUR
    well_back: float = 1 / 1.15


SETTINGS = BaselineSettings()
