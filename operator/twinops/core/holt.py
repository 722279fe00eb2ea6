"""A bank of damped-trend smoothers, run over a series at once.

Gardner & McKenzie (1985), "Forecasting trends in time series": with level l, slope b and damping phi,

    e_t = y_t - (l + phi b)      l <- l + phi b + alpha e_t      b <- phi b + alpha beta e_t

and the forecast h steps on is ``l + (phi + phi^2 + ... + phi^h) b``. Without slope (beta = 0) that is
simple exponential smoothing, and with alpha = 1 besides it is the naive forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from twinops.core.observation import Floats

_BLOCK = 50


@dataclass(frozen=True, slots=True)
class Smoother:
    """Parameters of one smoother, in the notation of the module's docstring."""

    alpha: float
    beta: float = 0.0
    phi: float = 0.0

    def reach(self, steps: int) -> float:
        """Return phi + phi^2 + ... + phi^steps: how much of the slope the forecast adds."""
        return self.phi * (1 - self.phi**steps) / (1 - self.phi)


@cache
def _responses(smoothers: tuple[Smoother, ...]) -> tuple[Floats, Floats]:
    """Return what a block's states owe to the state before it, and to each of its values.

    The recursion is linear, s_t = A s_(t-1) + g y_t with A = F - g c', so a block of values can be
    taken in one matrix product instead of one Python step each.

    Returns:
        Shapes (2, k, block, 2), by level and slope before, and (k, block, 2, block).
    """
    carry = np.zeros((2, len(smoothers), _BLOCK, 2))
    drive = np.zeros((len(smoothers), _BLOCK, 2, _BLOCK))
    for k, one in enumerate(smoothers):
        gain = np.array([one.alpha, one.alpha * one.beta])
        step = np.array([[1.0, one.phi], [0.0, one.phi]]) - np.outer(gain, [1.0, one.phi])
        power = np.eye(2)
        for lag in range(_BLOCK):
            for at in range(lag, _BLOCK):
                drive[k, at, :, at - lag] = power @ gain
            power = step @ power
            carry[:, k, lag] = power.T
    return carry, drive


def smooth(values: Floats, smoothers: tuple[Smoother, ...]) -> tuple[Floats, Floats]:
    """Run every smoother over the values, from level 0 and slope 0.

    Args:
        values: shape (n,), finite; measured from the first one, so that the level starts on it.
        smoothers: k of them.

    Returns:
        Level and slope after each value, both of shape (n, k). Row t depends on values[:t + 1] only.
    """
    carry, drive = _responses(smoothers)
    count, kinds = len(values), len(smoothers)
    blocks = -(-count // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[:count] = values
    # One small product per smoother: a single large one is shared out to threads, which a busy machine waits for.
    driven = drive.reshape(kinds, -1, _BLOCK) @ padded.reshape(blocks, _BLOCK).T
    states = np.ascontiguousarray(driven.reshape(kinds, _BLOCK, 2, blocks).transpose(3, 0, 1, 2))
    for block in range(1, blocks):
        level, slope = states[block - 1, :, -1].T[:, :, None, None]
        states[block] += carry[0] * level + carry[1] * slope
    rows = states.transpose(0, 2, 1, 3).reshape(-1, kinds, 2)[:count]
    return rows[..., 0], rows[..., 1]
