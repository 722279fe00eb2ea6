"""Forecast scores, beside those of naive, seasonal naive and Theta with the same calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.cells import filled
from twinops.core.forecast.config import CONFIG, DAY, Config
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.interpolation import Ahead, ahead
from twinops.core.series import Floats
from twinops.replay import peers
from twinops.replay.rolling import Progress, Replayed

PEERS = ("naive", "seasonalNaive", "theta")
PEER_WORDS: Mapping[str, str] = {"naive": "naive", "seasonalNaive": "seasonal naive", "theta": "Theta"}
FEWEST_ORIGINS = 30
"""Least number of scored forecasts per metric and horizon."""

_LEVELS = np.array(QUANTILES)
_MIDDLE = QUANTILES.index(0.5)
_RATIOS = (1e-3, 1e3)
_MOST_CELLS = 20_000_000
"""Size of a batch of reference quantiles, in numbers."""


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one forecaster for one metric and horizon.

    Attributes:
        mase: mean absolute scaled error of the median (Hyndman & Koehler 2006): scaled by the mean absolute
            one-step change; None for a constant series.
        wis: weighted interval score (Bracher et al. 2021), in the metric's unit.
        coverage: share of values inside the 90 % interval.
        width: mean width of the 90 % interval, in the metric's unit.
    """

    mase: float | None
    wis: float
    coverage: float
    width: float


@dataclass(frozen=True, slots=True)
class HorizonScore:
    """Scores of one metric and horizon.

    Attributes:
        origins: number of forecasts scored: calibrated, after the learning rows, with a known outcome.
        ours: None with fewer than ``FEWEST_ORIGINS``.
        peers: by name in ``PEERS``, on the same origins; empty likewise.
        relative: our WIS over the peer's, by name, clipped to .001..1000; empty likewise.
    """

    origins: int
    ours: Score | None
    peers: Mapping[str, Score]
    relative: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of all metrics and horizons.

    Attributes:
        table: ``table[metric][horizon]``, in the recording's and the spec's order.
        peer_quantiles: by peer, shape (n, m, h, levels); empty unless kept.
    """

    table: tuple[tuple[HorizonScore, ...], ...]
    peer_quantiles: Mapping[str, Floats]


def score(
    replayed: Replayed, *, config: Config = CONFIG, keep: bool = False, progress: Progress | None = None
) -> Scores:
    """Score the forecasts at each horizon; a target between two rows is interpolated.

    Args:
        replayed: result of the replay.
        config: of the calibration of the peers' intervals.
        keep: whether to return the peers' quantiles, which takes four times the memory.
        progress: called with the number of metrics done and of all metrics.
    """
    values, horizons = replayed.recording.values, ahead(replayed.horizons_seconds, replayed.recording.step)
    rows: list[tuple[HorizonScore, ...]] = []
    kept: dict[str, list[Floats]] = {name: [] for name in PEERS}
    size = max(1, _MOST_CELLS // max(1, values.shape[1] * len(horizons.steps) * len(_LEVELS) * len(PEERS)))
    for begin in range(0, len(values), size):
        batch = range(begin, min(begin + size, len(values)))
        found = _peer_quantiles(replayed, values[batch.start : batch.stop], horizons, config)
        for k in batch:
            mine = {name: quantiles[:, k - begin] for name, quantiles in found.items()}
            observed = targets(values[k], horizons)
            rows.append(tuple(_horizon(replayed, k, h, row, mine) for h, row in enumerate(observed)))
        if keep:
            for name, quantiles in found.items():
                kept[name].append(quantiles)
        if progress is not None:
            progress(batch.stop, len(values))
    return Scores(tuple(rows), {name: np.concatenate(parts, axis=1) for name, parts in kept.items() if parts})


def _peer_quantiles(replayed: Replayed, values: Floats, horizons: Ahead, config: Config) -> dict[str, Floats]:
    """Return the quantiles of every peer, shape (n, series, h, levels)."""
    step = replayed.recording.step
    known, per_day = filled(values), max(1, round(DAY / step))
    centres = [
        peers.naive(known, horizons.steps),
        peers.seasonal_naive(known, horizons.steps, per_day),
        peers.theta(known, horizons.steps, per_day),
    ]
    first = math.floor(replayed.recording.times[0] / step + 1e-9)
    observed = np.tile(values, (len(PEERS), 1))
    quantiles = peers.calibrated(np.concatenate(centres), observed, first, step, horizons.steps, config)
    now = np.tile(known, (len(PEERS), 1)).T[:, :, None, None]
    parts = np.split(horizons.at(quantiles, 2, now), len(PEERS), axis=1)
    return dict(zip(PEERS, parts, strict=True))


def targets(values: Floats, horizons: Ahead) -> Floats:
    """Return the value at each horizon after each row, shape (h, n), NaN past the end and where unknown.

    Args:
        values: shape (n,).
        horizons: h of them.
    """
    later = np.stack([np.append(values[steps:], np.full(min(steps, len(values)), np.nan)) for steps in horizons.steps])
    return horizons.at(later, 0, values)


def interval_scores(quantiles: Floats, observed: Floats) -> Floats:
    """Return the weighted interval score, shape (n,): the mean over the levels of twice the pinball loss.

    Source: Bracher et al. 2021, "Evaluating epidemic forecasts in an interval format".

    Args:
        quantiles: shape (n, levels).
        observed: shape (n,).
    """
    over = observed[:, None] - quantiles
    scores: Floats = 2 * np.where(over >= 0, _LEVELS * over, (_LEVELS - 1) * over).mean(axis=-1)
    return scores


def _horizon(
    replayed: Replayed, metric: int, which: int, observed: Floats, others: Mapping[str, Floats]
) -> HorizonScore:
    values = replayed.recording.values[metric]
    quantiles = replayed.quantiles[:, metric, which]
    counts = np.isfinite(observed) & np.isfinite(quantiles[:, _MIDDLE]) & replayed.calibrated[:, metric, which]
    counts[: replayed.begin] = False
    origins = int(counts.sum())
    if origins < FEWEST_ORIGINS:
        return HorizonScore(origins, None, {}, {})
    changes = np.abs(np.diff(values[replayed.begin :]))
    scale = float(np.nanmean(changes)) if np.isfinite(changes).any() else 0.0
    ours = _score(quantiles[counts], observed[counts], scale)
    found = {name: _score(other[counts, which], observed[counts], scale) for name, other in others.items()}
    return HorizonScore(origins, ours, found, {name: _ratio(ours.wis, one.wis) for name, one in found.items()})


def _score(quantiles: Floats, observed: Floats, scale: float) -> Score:
    lower, upper = quantiles[:, 0], quantiles[:, -1]
    error = float(np.abs(observed - quantiles[:, _MIDDLE]).mean())
    return Score(
        mase=error / scale if scale > 0 else None,
        wis=float(interval_scores(quantiles, observed).mean()),
        coverage=float(((observed >= lower) & (observed <= upper)).mean()),
        width=float((upper - lower).mean()),
    )


def _ratio(ours: float, theirs: float) -> float:
    """Return ours / theirs; 1 where both are zero, as for a constant series."""
    if ours <= 0 and theirs <= 0:
        return 1.0
    return float(np.clip(ours / theirs, *_RATIOS)) if theirs > 0 else _RATIOS[1]
