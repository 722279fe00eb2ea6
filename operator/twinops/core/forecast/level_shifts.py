"""Detection of level shifts, after which naive is published for a while."""

from __future__ import annotations

import numpy as np

from twinops.core.forecast.cells import carried
from twinops.core.forecast.config import DAY, LAYOUT, Config
from twinops.core.forecast.views import View
from twinops.core.series import Flags, Floats, Indices

SHIFT_STEPS = LAYOUT.shift_steps


def shifts(past: View, origins: Indices, config: Config) -> Flags:
    """Return where the newest cells all lie far outside the range of the day before them, on one side.

    Cells are compared, not single values: values that are seconds apart leave any range for a moment, and a steep climb
    of some minutes is not a new level.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), indices of ``past.steps``.
        config: the frozen configuration.

    Returns:
        Shape (series, o).
    """
    cells = past.fine.values
    newest = past.fine_at(origins)
    length = max(SHIFT_STEPS, round(DAY / past.fine.seconds))
    low, high, known = _range_at(cells, np.maximum(newest - SHIFT_STEPS, 0), length)
    margin = config.shift_margin * np.maximum(high - low, 0.0)
    filled = carried(cells)
    latest = [filled[:, np.maximum(newest - k, 0)] for k in range(SHIFT_STEPS)]
    low, high = low - margin, high + margin
    above, below = latest[0] > high, latest[0] < low
    for cell in latest[1:]:
        above, below = above & (cell > high), below & (cell < low)
    outside: Flags = above | below
    # A few cells do not show the usual range: a climb leaves that of its own first minutes.
    return outside & (newest >= SHIFT_STEPS) & (known >= config.shift_known)


def _range_at(values: Floats, ends: Indices, length: int) -> tuple[Floats, Floats, Floats]:
    """Return least and largest known value of the ``length`` columns up to each of these, and how many are known.

    All of shape (series, o).
    """
    if len(ends) == 1:
        values = values[:, max(0, int(ends[0]) - length + 1) : int(ends[0]) + 1]
        known = np.isfinite(values)
        low, high = np.where(known, values, np.inf), np.where(known, values, -np.inf)
        return low.min(axis=1)[:, None], high.max(axis=1)[:, None], known.sum(axis=1)[:, None]
    known = np.isfinite(values)
    low, high = _range(values, length)
    total = np.cumsum(known, axis=1)
    before = np.where(ends >= length, total[:, np.maximum(ends - length, 0)], 0)
    return low[:, ends], high[:, ends], total[:, ends] - before


def _range(values: Floats, length: int) -> tuple[Floats, Floats]:
    """Return least and largest known value of the last ``length`` cells, by doubling windows."""
    low, high = np.where(np.isfinite(values), values, np.inf), np.where(np.isfinite(values), values, -np.inf)
    width = 1
    while width < length:
        lag = min(width, length - width)
        for array, pick in ((low, np.minimum), (high, np.maximum)):
            array[:, lag:] = pick(array[:, lag:], array[:, :-lag].copy())
        width += lag
    return low, high
