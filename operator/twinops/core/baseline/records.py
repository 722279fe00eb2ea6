"""Records: the largest size of each statistic of a series so far, which later sizes are compared with.

If nothing has changed, each of n past windows is as likely as the present one to hold the largest value, so
a new record occurs with probability 1 / (n + 1) (Rényi 1962), whatever the distribution: the heavier a series'
tail, the higher its record already is. That it is exceeded by a margin is rarer still. No distribution is fitted.

The window itself, and all that overlap it, are not part of the record: a slow change would otherwise
always lie just above its own last value. Records fade, so that what was normal months ago does not remain
normal forever, and never lie below a multiple of the usual size.
"""

from __future__ import annotations

import math

import numpy as np

from twinops.core.baseline.statistics import logarithm
from twinops.core.series import Floats


class ExponentialMean:
    """Exponentially weighted mean of k series.

    Args:
        series: k.
        half_life: steps after which an entry has half of its weight.
    """

    def __init__(self, series: int, half_life: float) -> None:
        self._rate = math.log(2) / half_life
        self._sums = np.zeros((2, series))

    def advance(self, values: Floats) -> Floats:
        """Return the mean up to and including each entry, shape (n, k); NaN entries are ignored."""
        known = np.isfinite(values)
        if len(values) == 1:
            self._sums = self._sums * math.exp(-self._rate) + [np.where(known[0], values[0], 0.0), known[0]]
            latest: Floats = np.divide(
                self._sums[0], self._sums[1], out=np.full_like(self._sums[0], np.nan), where=self._sums[1] > 0
            )
            return latest[None]
        grown = np.exp(self._rate * np.arange(1, len(values) + 1))[:, None]
        totals = self._sums[0] + np.cumsum(np.where(known, values, 0.0) * grown, axis=0)
        counts = self._sums[1] + np.cumsum(known * grown, axis=0)
        self._sums = np.stack([totals[-1], counts[-1]]) / grown[-1]
        means: Floats = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
        return means


class FadingRecord:
    """Largest size of k series so far, in logarithms; it fades exponentially, at two rates.

    A size that exceeds its record by a given ratio is exceptional and fades fast, so that one large incident does not
    hide smaller ones for months. Any other size is normal and fades slowly. An exceptional size that recurs while
    its record has not faded yet becomes normal.

    Args:
        series: k.
        half_life: steps after which any size has faded by half.
        normal: steps after which a normal size has faded by half.
        ratio: a size that exceeds the record by more than this is exceptional.
    """

    def __init__(self, series: int, half_life: float, normal: float, ratio: float) -> None:
        self._rates = math.log(2) / half_life, math.log(2) / normal
        self._ratio = math.log(ratio)
        self._best = np.full((2, series), -np.inf, np.float32)

    def advance(self, sizes: Floats) -> Floats:
        """Process n logarithms of sizes, shape (n, k); return the record including each of them, shape (n, k)."""
        sizes = np.where(np.isnan(sizes), -np.inf, sizes)
        first = self._best[:1].copy()
        every = self._fade(0, sizes)
        before = np.concatenate([first, every[:-1]])
        normal = self._fade(1, np.where(sizes <= before + self._ratio, sizes, -np.inf))
        return np.maximum(every, normal)

    def _fade(self, speed: int, sizes: Floats) -> Floats:
        if len(sizes) == 1:
            self._best[speed] = latest = np.fmax(self._best[speed] - self._rates[speed], sizes[0])
            return np.asarray(latest[None], dtype=np.float64)
        faded = self._rates[speed] * np.arange(1, len(sizes) + 1)[:, None]
        best: Floats = (
            np.maximum.accumulate(np.concatenate([self._best[speed][None], sizes + faded]), axis=0)[1:] - faded
        )
        self._best[speed] = best[-1]
        return best


class QuietSpells:
    """Quiet spells of k series: entries since the last stir (burst or movement), against the longest spell before.

    A spell is judged once enough spells were seen, or once there were so many stirs without any spell that the first
    one is unusual. Only known entries count. Where stirs are random, with a mean distance m, any of n spells is longer
    than m·ln(n / p) with probability p (exponential waiting times, Bonferroni), so no shorter spell is unusual.

    Args:
        record: of the spells' lengths.
        series: k.
        shortest: least length of a quiet spell in steps; no record is below it.
        needed: number of quiet spells from which on one is judged.
        probability: p.
        dense: number of stirs from which on even the first quiet spell is judged.
    """

    def __init__(
        self, record: FadingRecord, series: int, shortest: int, needed: int, probability: float, dense: float
    ) -> None:
        self._record = record
        self._shortest, self._needed, self._probability, self._dense = shortest, needed, probability, dense
        self._known, self._last, self._seen, self._quiet_spells = np.zeros((4, series))

    def advance(self, stirs: Floats) -> tuple[Floats, Floats, Floats]:
        """Process n entries; return logarithms of the current spell over its record, of the record, and of the spell.

        Args:
            stirs: shape (n, k): 1 at a stir, 0 elsewhere, NaN where unknown.

        Returns:
            Shape (n, k) each; -inf where a spell cannot be judged.
        """
        stirring = stirs == 1
        known = self._known + np.cumsum(np.isfinite(stirs), axis=0)
        last = np.maximum.accumulate(np.where(stirring, known, self._last), axis=0)
        before = np.concatenate([self._last[None], last[:-1]])
        seen = self._seen + np.cumsum(stirring, axis=0)
        ended = np.where(stirring & (seen > 1), known - before, np.nan)
        quiet_spells = self._quiet_spells + np.cumsum(ended > self._shortest, axis=0)
        self._known, self._last, self._seen, self._quiet_spells = known[-1], last[-1], seen[-1], quiet_spells[-1]
        longest = np.fmax(self._record.advance(logarithm(ended)), math.log(self._shortest))
        stir_count = np.maximum(seen, 1)
        longest = np.fmax(longest, logarithm(known / stir_count * (np.log(stir_count) - math.log(self._probability))))
        regular = (quiet_spells >= self._needed) | ((quiet_spells == 0) & (seen >= self._dense))
        running = logarithm(known - last)
        return np.where(regular, running - longest, -np.inf), longest, running
