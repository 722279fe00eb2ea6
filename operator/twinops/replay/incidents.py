"""Risk warnings over time: incidents, whether a limit was crossed after them, and crossings without a warning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.core.forecast.interpolation import ahead
from twinops.core.series import Floats, Indices
from twinops.metric_definitions import definition
from twinops.replay.rolling import Flags, Replayed
from twinops.replay.scores import targets

_CALM_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Incident:
    """A group of warnings that are at most the longest horizon apart.

    Attributes:
        metrics: with a warning, in the order of their first one.
        first: row of the first warning.
        last: row of the last one.
        onset: first row at which a limit was crossed within ``reach`` rows after a warning, None without one.
        calm: whether all metrics were within their limits when it began; only such incidents are scored.
        open: whether the recording ends before ``reach`` rows have passed.
    """

    metrics: tuple[str, ...]
    first: int
    last: int
    onset: int | None
    calm: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Onset:
    """A limit crossing after at least an hour within the limit; crossings within an hour are one onset.

    Attributes:
        row: of the first value beyond the limit.
        metrics: whose limits were crossed at that row.
        warned: row of the first warning of the incident before it, None without one.
    """

    row: int
    metrics: tuple[str, ...]
    warned: int | None


@dataclass(frozen=True, slots=True)
class RiskScore:
    """Scores of the warnings.

    Attributes:
        incidents: all from the first scored row on.
        onsets: likewise.
        reach: rows of the longest horizon, within which a warning must come true.
        lead_seconds: median time from an incident's first warning to the onset, None without a hit.
        quiet_alarm_share: share of calm rows (within limits and more than ``reach`` rows before any onset) with a
            warning, None without calm rows.
    """

    incidents: tuple[Incident, ...]
    onsets: tuple[Onset, ...]
    reach: int
    lead_seconds: float | None
    quiet_alarm_share: float | None

    @property
    def judged(self) -> tuple[Incident, ...]:
        """Incidents that are scored."""
        return tuple(one for one in self.incidents if one.calm and (one.onset is not None or not one.open))

    @property
    def hits(self) -> int:
        """Number of scored incidents with an onset."""
        return sum(one.onset is not None for one in self.judged)

    @property
    def misses(self) -> int:
        """Number of onsets without a warning."""
        return sum(one.warned is None for one in self.onsets)

    @property
    def precision(self) -> float | None:
        """Share of scored incidents with an onset, None without any."""
        return self.hits / len(self.judged) if self.judged else None


def beyond_limits(replayed: Replayed) -> Flags:
    """Return which values lie beyond their limit, shape (n, metrics); an unknown value does not."""
    columns = zip(replayed.recording.names, replayed.recording.values, replayed.limits.T, strict=True)
    return np.stack([_beyond(name, values, limits) for name, values, limits in columns], axis=1)


def _beyond(metric: str, values: Floats, limits: Floats) -> Flags:
    beyond: Flags = values < limits if definition(metric).harmful_above is False else values > limits
    return beyond


def score_risks(replayed: Replayed) -> RiskScore:
    """Compare the warnings with the crossings, from the first scored row on."""
    step, begin = replayed.recording.step, replayed.begin
    beyond, warned = beyond_limits(replayed), replayed.warned.copy()
    warned[:begin] = False
    reach = int(ahead(replayed.horizons_seconds, step).after.max())
    crossed: Flags = np.logical_or.reduce(beyond, axis=1)
    any_warned: Flags = np.logical_or.reduce(warned, axis=1)
    raised = np.flatnonzero(any_warned)
    calm_rows = max(1, round(_CALM_SECONDS / step))
    each = [_first_of_each(np.flatnonzero(column), calm_rows) for column in beyond.T]
    onset_rows = np.unique(np.concatenate(each))
    onset_rows = onset_rows[onset_rows > begin]
    # Crossings of several metrics within an hour are one onset of the twin.
    firsts = _first_of_each(onset_rows, calm_rows)
    begins = _first_of_each(raised, reach)
    names = replayed.recording.names
    incidents = tuple(
        _incident(raised[(raised >= first) & (raised < after)], onset_rows, warned, crossed, reach, names)
        for first, after in zip(begins, np.append(begins, len(crossed))[1:], strict=True)
    )
    onsets = tuple(
        Onset(int(row), _named(names, beyond[row]), _warned_from(raised, begins, int(row), reach)) for row in firsts
    )
    leads = [(one.row - one.warned) * step for one in onsets if one.warned is not None]
    calm = ~crossed
    calm[:begin] = False
    for row in firsts:
        calm[max(0, row - reach) : row] = False
    return RiskScore(
        incidents,
        onsets,
        reach,
        float(np.median(leads)) if leads else None,
        float(np.mean(any_warned[calm])) if calm.any() else None,
    )


def _first_of_each(rows: Indices, apart: int) -> Indices:
    """Return the first row of every group; groups are more than ``apart`` rows apart."""
    if not len(rows):
        return rows
    firsts: Indices = rows[np.concatenate([[True], np.diff(rows) > apart])]
    return firsts


def _incident(
    mine: Indices, onsets: Indices, warned: Flags, crossed: Flags, reach: int, names: Sequence[str]
) -> Incident:
    first, last = int(mine[0]), int(mine[-1])
    hit = next((int(row) for row in onsets if ((mine < row) & (mine >= row - reach)).any()), None)
    metrics = dict.fromkeys(name for row in mine for name in _named(names, warned[row]))
    return Incident(tuple(metrics), first, last, hit, not crossed[first], last + reach >= len(crossed))


def _warned_from(raised: Indices, begins: Indices, onset: int, reach: int) -> int | None:
    """Return the first row of the incident whose warning precedes an onset, None without one."""
    near = raised[(raised >= onset - reach) & (raised < onset)]
    return int(begins[begins <= near[0]][-1]) if len(near) else None


def _named(names: Sequence[str], which: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, there in zip(names, which, strict=True) if there)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Reliability of the exceedance probabilities of one metric and horizon.

    Sources: Brier (1950); Murphy (1973) for the decomposition behind reliability diagrams.

    Attributes:
        brier_skill: 1 - Brier score relative to that of the constant base rate; None without both outcomes.
        base_rate: share of origins with a crossing until the horizon.
        bins: pairs of mean probability and observed share, of at most ten bins of equal count.
    """

    brier_skill: float | None
    base_rate: float
    bins: tuple[tuple[float, float], ...]


def reliability(replayed: Replayed, metric: int, which: int, *, most_bins: int = 10) -> Reliability | None:
    """Compare the exceedance probabilities of one metric and horizon with the outcomes; None with fewer than thirty.

    For a horizon between two rows the outcome is that of the rows before it and of the interpolated value at it.

    Args:
        replayed: result of a replay.
        metric: index of the metric.
        which: index of the horizon.
        most_bins: bound of the number of bins.
    """
    horizons = ahead(replayed.horizons_seconds[which : which + 1], replayed.recording.step)
    beyond = beyond_limits(replayed)[:, metric]
    values = replayed.recording.values[metric]
    steps, count = int(horizons.before[0]), len(values)
    exceedance = replayed.exceedance[:, metric, which]
    any_beyond, any_known = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for later in range(1, min(steps, count - 1) + 1):
        any_beyond[:-later] |= beyond[later:]
        any_known[:-later] |= np.isfinite(values[later:])
    if not horizons.even:
        [between] = targets(values, horizons)
        [limit] = targets(replayed.limits[:, metric], horizons)
        any_beyond |= _beyond(replayed.recording.names[metric], between, limit)
        any_known |= np.isfinite(between)
    counts = np.isfinite(exceedance) & any_known
    counts[: replayed.begin] = False
    counts[max(0, count - int(horizons.after[0])) :] = False
    if counts.sum() < 30:  # noqa: PLR2004 - as for forecasts
        return None
    probability, outcome = exceedance[counts], any_beyond[counts].astype(float)
    return _reliability(probability, outcome, most_bins)


def _reliability(probability: Floats, outcome: Floats, most_bins: int) -> Reliability:
    base = float(np.mean((outcome - outcome.mean()) ** 2))
    skill = float(1 - np.mean((probability - outcome) ** 2) / base) if base > 0 else None
    parts = np.array_split(np.argsort(probability, kind="stable"), min(most_bins, len(probability)))
    bins = tuple((float(probability[part].mean()), float(outcome[part].mean())) for part in parts)
    return Reliability(skill, float(outcome.mean()), bins)
