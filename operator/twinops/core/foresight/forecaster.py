"""From what was learned to what the rest of the core reads, and to the few bytes that stand in status."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from twinops.core.forecast import MIN_CHECKS, MIN_SAMPLES, QUANTILES, HorizonForecast
from twinops.core.foresight.backtest import backtest
from twinops.core.foresight.config import CONFIG, DAY, Config
from twinops.core.foresight.members import COUNT
from twinops.core.foresight.track import State, new_state, published, relative_error
from twinops.core.foresight.views import Indices
from twinops.core.observation import Floats, Series

ORIGINS = 1440
"""Newest steps that a full backtest forecasts from: three days of skill, two before for the weights to settle."""
_HUGE = 1e100
_PER_OCTAVE = 8
_MIDDLE_BYTE = 128
_FULL_SHARE = 255

_PER_HORIZON = np.dtype(
    [
        ("loss", "u1", COUNT),
        ("quantiles", "<f2", (2, len(QUANTILES))),
        ("size", "<f4", 2),
        ("naive_score", "<f4"),
        ("ratio", "<f2"),
        ("width", "<f2"),
        ("covered", "u1"),
        ("checks", "<u2"),
    ]
)


class Ensemble:
    """Satisfies ``core.forecast.Forecaster``. Holds no state: every call is a full backtest."""

    def __init__(self, config: Config = CONFIG, *, origins: int = ORIGINS) -> None:
        self._config = config
        self._origins = origins

    def forecast(
        self,
        series: Series,
        horizons_seconds: Sequence[int],
        *,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> tuple[HorizonForecast, ...]:
        """Foresee the metric ``horizons_seconds`` after the last entry of ``series``.

        Horizons are rounded up to whole steps, at most a day. NaN, Inf and figures beyond 1e100 are unknown.

        Returns:
            One forecast per horizon, in their order; an empty tuple when fewer than ``MIN_SAMPLES`` values are
            known.
        """
        values = np.where(np.abs(series.values) < _HUGE, series.values, np.nan)
        if np.isfinite(values).sum() < MIN_SAMPLES or not horizons_seconds:
            return ()
        values = values[int(np.argmax(np.isfinite(values))) :]
        horizons = steps_of(horizons_seconds, series.step)
        first = int(np.floor(series.times[-1] / series.step)) - len(values) + 1
        done = backtest(values[None], first, series.step, horizons, self._config, origins=self._origins)
        quantiles = published(done.state, done.last, horizons)[0]
        return horizon_forecasts(quantiles, done.state, 0, horizons_seconds, minimum, maximum)


def steps_of(horizons_seconds: Sequence[int], step: float) -> Indices:
    """Return horizons in steps, rounded up, at least one and at most a day."""
    steps = np.ceil(np.array(horizons_seconds) / step - 1e-9)
    whole: Indices = np.minimum(np.maximum(steps, 1), max(1, DAY // step)).astype(np.intp)
    return whole


def horizon_forecasts(
    quantiles: Floats,
    state: State,
    which: int,
    horizons_seconds: Sequence[int],
    minimum: float | None,
    maximum: float | None,
) -> tuple[HorizonForecast, ...]:
    """Return one series' forecasts, within the metric's range.

    Args:
        quantiles: shape (h, levels).
        state: what was learned.
        which: of its series.
        horizons_seconds: h of them.
        minimum: least possible value, where there is one.
        maximum: largest possible value, where there is one.
    """
    within = np.clip(quantiles, -np.inf if minimum is None else minimum, np.inf if maximum is None else maximum)
    ratio = relative_error(state)[which]
    checks = state.checks[which]
    return tuple(
        HorizonForecast(
            horizon_seconds=horizon,
            quantiles=tuple(float(value) for value in within[h]),
            confidence=float(np.clip(1 - ratio[h], 0.0, 1.0)) if checks[h] >= MIN_CHECKS else None,
            checks=int(checks[h]),
            calibrated=bool(checks[h] >= MIN_CHECKS),
        )
        for h, horizon in enumerate(horizons_seconds)
    )


def pack(state: State, which: int) -> str:
    """Return weights, quantiles and skill of one series as text for status; at most 300 bytes for three horizons."""
    rows = np.zeros(state.checks.shape[1], _PER_HORIZON)
    size = np.maximum(state.size[which], 1e-30)
    octaves = np.log2(np.maximum(state.loss[which], 1e-30) / size[:, :1])
    rows["loss"] = np.clip(np.rint(octaves * _PER_OCTAVE) + _MIDDLE_BYTE, 0, _FULL_SHARE)
    rows["quantiles"] = np.clip(state.quantiles[which], -6e4, 6e4)
    rows["size"] = state.size[which]
    rows["naive_score"] = state.score[which, :, 1]
    rows["ratio"] = np.minimum(relative_error(state)[which], 6e4)
    rows["width"] = np.minimum(state.width[which, :, 0] / np.maximum(state.width[which, :, 1], 1e-30), 6e4)
    rows["covered"] = np.rint(state.covered[which] * _FULL_SHARE)
    rows["checks"] = np.minimum(state.checks[which], np.iinfo(np.uint16).max)
    return base64.b64encode(np.float32(state.change[which]).tobytes() + rows.tobytes()).decode()


def unpack(text: str) -> State:
    """Return the state of one series from its text.

    Raises:
        ValueError: the text was not written by ``pack``.
    """
    raw = base64.b64decode(text, validate=True)
    rows = np.frombuffer(raw[4:], _PER_HORIZON)
    if not len(rows):
        raise ValueError("no horizon in the stored state")
    state = new_state(1, len(rows))
    state.change[0] = np.frombuffer(raw[:4], "<f4")[0]
    state.steps[0] = float(rows["checks"].max())
    state.checks[0] = rows["checks"]
    state.size[0] = state.long[0] = rows["size"]
    state.loss[0] = rows["size"][:, :1] * 2.0 ** ((rows["loss"].astype(float) - _MIDDLE_BYTE) / _PER_OCTAVE)
    state.quantiles[0] = rows["quantiles"]
    state.score[0, :, 1] = rows["naive_score"]
    state.score[0, :, 0] = rows["naive_score"] * rows["ratio"].astype(float)
    state.width[0, :, 1] = 1.0
    state.width[0, :, 0] = rows["width"]
    state.covered[0] = rows["covered"] / _FULL_SHARE
    return state
