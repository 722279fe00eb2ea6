"""Horizons in seconds in terms of whole steps; a horizon between two steps is interpolated linearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from twinops.core.forecast.config import DAY
from twinops.core.series import Floats, Indices

_ROUNDING = 1e-9
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """Horizons in seconds in terms of the whole steps that are forecast.

    Attributes:
        steps: whole steps that the horizons need, increasing, shape (k,), each at least one.
        before: steps up to each horizon, shape (h,); 0 within the first step.
        after: likewise, up to the first step at or after it.
        share: how far each horizon lies from the one to the other, 0 <= share < 1, shape (h,).
    """

    steps: Indices
    before: Indices
    after: Indices
    share: Floats

    @property
    def even(self) -> bool:
        """Whether every horizon is a whole number of steps."""
        return not self.share.any()

    def nearer(self, values: npt.NDArray[_Number], axis: int) -> npt.NDArray[_Number]:
        """Return the values at the step before each horizon; at the first step where there is none."""
        return values.take(np.searchsorted(self.steps, np.maximum(self.before, 1)), axis=axis)

    def farther(self, values: npt.NDArray[_Number], axis: int) -> npt.NDArray[_Number]:
        """Return the values at the first step at or after each horizon."""
        return values.take(np.searchsorted(self.steps, self.after), axis=axis)

    def at(self, values: Floats, axis: int, now: Floats | None = None) -> Floats:
        """Return the values at the horizons.

        Args:
            values: at each of ``steps``, along an axis.
            axis: that axis.
            now: values at the origin, broadcast against the result; None to use those at the first step.
        """
        if self.even:
            return self.farther(values, axis)
        near, far = self.nearer(values, axis), self.farther(values, axis)
        along = [1] * near.ndim
        along[axis] = -1
        if now is not None:
            near = np.where((self.before == 0).reshape(along), now, near)
        share = self.share.reshape(along)
        # A whole number of steps takes its own value, even where the next one is infinite.
        apart = np.subtract(far, near, out=np.zeros(far.shape), where=near != far)
        found: Floats = np.where(share > 0, near + share * apart, far)
        return found


def ahead(horizons_seconds: Sequence[int], step: float) -> Ahead:
    """Return the steps of horizons; none is further than the first step that completes a day.

    Args:
        horizons_seconds: each at least a second.
        step: seconds.
    """
    places = np.minimum(np.array(horizons_seconds, dtype=np.float64) / step, np.ceil(DAY / step - _ROUNDING))
    before, after = np.floor(places + _ROUNDING), np.ceil(places - _ROUNDING)
    share = np.where(after > before, places - before, 0.0)
    after = np.maximum(after, 1).astype(np.intp)
    before = np.where(share > 0, before, after).astype(np.intp)
    return Ahead(np.unique(np.concatenate([before[before > 0], after])), before, after, share)
