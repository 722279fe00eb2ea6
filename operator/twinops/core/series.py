"""Types of the core's arrays, and a time series on an even grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A time series on an even grid.

    Attributes:
        times: shape (n,), Unix seconds, increasing by ``step``.
        values: shape (n,), NaN where unknown.
        step: seconds between two entries.
    """

    times: Floats
    values: Floats
    step: float

    @property
    def known(self) -> int:
        """Number of known entries."""
        return int(np.isfinite(self.values).sum())
