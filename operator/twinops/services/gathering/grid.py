"""A metric's past on an even grid of bounded size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twinops.core.observation import Floats, Series


class Grid:
    """Values at ``phase + k * step`` for whole ``k``, the newest ``size`` of them; NaN where nothing is known.

    Values are kept in single precision: seven digits are more than any metric carries.

    Args:
        step: seconds between two slots.
        phase: Unix seconds of any one slot; a twin's own syncs should fall on slots.
        size: number of slots kept.
    """

    def __init__(self, step: int, phase: float, size: int) -> None:
        self.step = step
        self.size = size
        self._phase = phase % step
        self._newest: int | None = None
        self._values: npt.NDArray[np.float32] = np.full(size, np.nan, np.float32)

    def slot(self, time: float) -> int:
        """Return the slot nearest to a time."""
        return round((time - self._phase) / self.step)

    def time(self, slot: int) -> float:
        """Return the time of a slot, in Unix seconds."""
        return self._phase + slot * self.step

    @property
    def newest(self) -> int | None:
        """The last slot, None before the first ``advance``."""
        return self._newest

    def advance(self, slot: int) -> None:
        """Make this slot the last one. Slots that lie after it, from a clock that was ahead, are given up."""
        ahead = slot - (self._newest if self._newest is not None else slot)
        self._newest = slot
        if ahead == 0:
            return
        kept = self._values.copy()
        self._values.fill(np.nan)
        if 0 < ahead < self.size:
            self._values[:-ahead] = kept[ahead:]
        elif -self.size < ahead < 0:
            self._values[-ahead:] = kept[:ahead]

    def put(self, slot: int, value: float) -> None:
        """Set one value; slots outside the grid are ignored."""
        self.merge(np.array([self.time(slot)]), np.array([value]))

    def merge(self, times: Floats, values: Floats) -> None:
        """Set values by the slots nearest to their times; unknown ones never overwrite known ones.

        Args:
            times: shape (n,), Unix seconds.
            values: shape (n,); NaN and Inf count as unknown.
        """
        if self._newest is None:
            return
        index = np.rint((times - self._phase) / self.step).astype(np.int64) - self._newest + self.size - 1
        inside = (index >= 0) & (index < self.size) & np.isfinite(values)
        self._values[index[inside]] = values[inside]

    def series(self) -> Series:
        """Return everything from the first known value to the last slot, known or not."""
        known = np.flatnonzero(np.isfinite(self._values))
        if self._newest is None or known.size == 0:
            return Series(times=np.empty(0), values=np.empty(0), step=float(self.step))
        first = int(known[0])
        slots = np.arange(self._newest - self.size + 1 + first, self._newest + 1, dtype=np.float64)
        return Series(
            times=self._phase + slots * self.step,
            values=self._values[first:].astype(np.float64),
            step=float(self.step),
        )
