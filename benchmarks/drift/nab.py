"""The scoring rule of the Numenta Anomaly Benchmark.

Source: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark",
ICMLA 2015. An alarm in a labelled window earns by how early in the window it comes; only the earliest of a
window counts. An alarm outside costs, less when it comes shortly after a window. A window without alarm costs.
A file's first 15 % of rows, at most 750, are probation and count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PROBATION_SHARE = 0.15
PROBATION_MOST = 750
_STEEPNESS = 5.0
_FAR = 3.0
"""Window lengths after a window from which an alarm costs in full."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What an application gains and loses, each ≥ 0.

    Attributes:
        hit: for a window found at its very begin.
        false_alarm: for an alarm far from any window.
        miss: for a window without alarm.
    """

    hit: float
    false_alarm: float
    miss: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP": Profile(1.0, 0.22, 1.0),
    "reward_low_FN": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True)
class Score:
    """A raw score and what it is normalised with. Scores of several files are added.

    Attributes:
        raw: sum of gains and losses.
        null: raw score of a detector that never raises an alarm.
        perfect: raw score of a detector that finds each window at its begin and nothing else.
    """

    raw: float = 0.0
    null: float = 0.0
    perfect: float = 0.0

    def __add__(self, other: Score) -> Score:
        """Return the score of both."""
        return Score(self.raw + other.raw, self.null + other.null, self.perfect + other.perfect)

    @property
    def normalised(self) -> float:
        """The score on the scale on which null is 0 and perfect 100; NaN without any window."""
        span = self.perfect - self.null
        return 100.0 * (self.raw - self.null) / span if span else float("nan")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file's alarms.

    Attributes:
        found: for each window, whether it was found.
        false_alarms: alarms outside of windows after probation.
    """

    found: tuple[bool, ...]
    false_alarms: int


Window = tuple[int, int]
"""First and last row of a labelled window, both in it."""


def probation(rows: int) -> int:
    """Return how many rows at a file's begin count for nothing."""
    return int(min(rows * PROBATION_SHARE, PROBATION_MOST))


def sigmoid(position: float) -> float:
    """Return what an alarm is worth by its place: -1 at a window's begin, 0 at its end, positive after it."""
    if position > _FAR:
        return -1.0
    return 2.0 / (1.0 + float(np.exp(_STEEPNESS * position))) - 1.0


def score(alarms: Iterable[int], rows: int, windows: Sequence[Window], profile: Profile) -> Score:
    """Score one file.

    Args:
        alarms: rows at which alarms were raised.
        rows: how many rows the file has.
        windows: its labelled windows, in order, apart from each other.
        profile: gains and losses.
    """
    alarms = np.array(sorted(set(alarms)), int)
    alarms = alarms[alarms >= probation(rows)]
    outside = np.ones(len(alarms), bool)
    raw = 0.0
    for first, last in windows:
        inside = (alarms >= first) & (alarms <= last)
        outside &= ~inside
        if inside.any():
            place = -(last - alarms[inside][0] + 1) / (last - first + 1)
            raw += profile.hit * sigmoid(place) / sigmoid(-1.0)
        else:
            raw -= profile.miss
    raw += profile.false_alarm * sum(sigmoid(_after(int(alarm), windows)) for alarm in alarms[outside])
    return Score(raw, -profile.miss * len(windows), profile.hit * len(windows))


def _after(alarm: int, windows: Sequence[Window]) -> float:
    """Return how many window lengths an alarm comes after the window before it, infinite without one."""
    before = [(first, last) for first, last in windows if last < alarm]
    if not before:
        return float("inf")
    first, last = before[-1]
    return (alarm - last) / max(last - first, 1)


def outcome(alarms: Iterable[int], rows: int, windows: Sequence[Window]) -> Outcome:
    """Return which windows were found, and how many alarms were false."""
    counted = [alarm for alarm in alarms if alarm >= probation(rows)]
    found = tuple(any(first <= alarm <= last for alarm in counted) for first, last in windows)
    false = sum(not any(first <= alarm <= last for first, last in windows) for alarm in counted)
    return Outcome(found, false)


def bootstrap(scores: Sequence[Score], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 90 % interval of the normalised score over files drawn with replacement."""
    table: npt.NDArray[np.float64] = np.array([(one.raw, one.null, one.perfect) for one in scores])
    picks = np.random.default_rng(seed).integers(0, len(table), (draws, len(table)))
    raw, null, perfect = table[picks].sum(axis=1).T
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanquantile(100 * (raw - null) / (perfect - null), (0.05, 0.95))
    return float(low), float(high)
