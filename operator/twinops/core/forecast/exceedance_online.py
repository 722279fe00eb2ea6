"""The exceedance probability, one sync at a time, in bounded memory.

A pending forecast holds the maximum of its path so far, so that no window of values is kept.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.core.forecast.backtest import stride
from twinops.core.forecast.config import Config
from twinops.core.forecast.exceedance import (
    EXPERTS,
    ExceedanceState,
    combine,
    new_exceedance_state,
    path_probability,
    rates,
    scale_of,
    slot_of,
    state_of,
)
from twinops.core.forecast.exceedance_batch import ExceedanceRun, backtest_exceedance
from twinops.core.forecast.exceedance_updates import learn_event, learn_path, learn_score
from twinops.core.forecast.horizon import MIN_CHECKS
from twinops.core.series import Flags, Floats, Indices

STORED: type[np.floating] = np.float32
"""Precision of the state between two steps."""
STORED_SHORT: type[np.floating] = np.float16
"""Precision of pending probabilities of the experts, and of counts that remain below about ten."""


@dataclass(slots=True, eq=False)
class _Pending:
    """Forecasts whose outcome is pending: p places, m series. The places of a horizon form a ring buffer.

    Attributes:
        highest: maximum of the path so far, shape (p, m).
        centre: highest forecast up to the horizon, shape (p, m).
        scale: shape (p, m).
        exceedance: probabilities of the experts, shape (p, m, experts).
        state: state of the origin, shape (p, m); -1 where nothing is learned from the outcome.
        crossed: whether a value has been beyond, shape (p, m).
        whole: whether every value was known, shape (p, m).
    """

    highest: npt.NDArray[np.floating]
    centre: npt.NDArray[np.floating]
    scale: npt.NDArray[np.floating]
    exceedance: npt.NDArray[np.floating]
    state: npt.NDArray[np.int8]
    crossed: Flags
    whole: Flags


def _none_pending(places: int, series: int) -> _Pending:
    shape = (places, series)
    return _Pending(
        np.zeros(shape, STORED), np.zeros(shape, STORED), np.zeros(shape, STORED),
        np.zeros((*shape, EXPERTS), STORED_SHORT), np.full(shape, -1, np.int8),
        np.zeros(shape, bool), np.zeros(shape, bool),
    )  # fmt: skip


class OnlineExceedance:
    """Exceedance probabilities of the series of one twin; series without a limit take no memory.

    Limits may change from sync to sync, as a limit per replica does: each value is compared with the limit of its own
    step. While a series has no limit, nothing is learned of it, and its state is kept.
    """

    def __init__(self, series: int, horizons: Indices, step: float, config: Config) -> None:
        """Begin with the initial state.

        Args:
            series: their number.
            horizons: shape (h,), steps ahead, increasing.
            step: seconds.
            config: the frozen configuration.
        """
        self._series, self._horizons, self._step, self._config = series, horizons, step, config
        self._every = np.array([stride(int(horizon), config) for horizon in horizons])
        self._places = -(-horizons // self._every)
        self._begin = np.concatenate([[0], np.cumsum(self._places)[:-1]])
        self._number: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._which: Indices = np.zeros(0, dtype=np.intp)
        self._since = np.zeros(0)
        self._learned = new_exceedance_state(0, self._config)
        self._pending = _none_pending(int(self._places.sum()), 0)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        parts = [getattr(one, name) for one in (self._learned, self._pending) for name in one.__slots__]
        return int(self._which.nbytes + self._since.nbytes) + sum(int(part.nbytes) for part in parts)

    def learn(
        self, values: Floats, centre: Floats, limits: Floats, above: Flags, *, first: int = 0,
        calibration_excluded: Flags | None = None,
    ) -> None:  # fmt: skip
        """Learn from a past that ends at the newest step, ``first + n - 1``; everything learned before is dropped.

        Args:
            values: shape (s, n), NaN where unknown.
            centre: forecasts from every step, shape (n, s, h).
            limits: shape (s,), or (s, n) where they change; NaN without a limit.
            above: whether values above the limit are harmful, else values below it, shape (s,).
            first: number of the first step: Unix seconds over ``step``, rounded down.
            calibration_excluded: shape (s, n), values that nothing is learned from.
        """
        self._reset()
        self._number = first + values.shape[1] - 1
        bounds = limits[:, None] if limits.ndim == 1 else limits
        which = np.flatnonzero(np.isfinite(bounds).any(axis=1))
        if not len(which):
            return
        sign = np.where(above[which], 1.0, -1.0)
        values, bounds = values[which] * sign[:, None], np.broadcast_to(bounds[which], (len(which), values.shape[1]))
        # At a step without a limit no value lies beyond it.
        bounds = np.where(np.isfinite(bounds), bounds * sign[:, None], np.inf)
        excluded = None if calibration_excluded is None else calibration_excluded[which]
        run = backtest_exceedance(
            values, centre[:, which] * sign[:, None], bounds, self._horizons, self._step, self._config,
            first=first, calibration_excluded=excluded,
        )  # fmt: skip
        self._which, self._since = which, run.since
        self._learned = _stored(run.state)
        self._pending = _none_pending(int(self._places.sum()), len(which))
        self._refill(run, values, bounds, first, excluded)

    def _refill(self, run: ExceedanceRun, values: Floats, bounds: Floats, first: int, excluded: Flags | None) -> None:
        """Store the forecasts whose outcome is pending at the end of the past."""
        count, kinds = values.shape[1], len(self._horizons)
        beyond, known, pending = values > bounds, np.isfinite(values), self._pending
        for h, horizon in enumerate(self._horizons):
            for t in range(max(0, count - int(horizon)), count):
                if (first + t) % self._every[h]:
                    continue
                place = self._place(first + t)[h]
                row = np.s_[t, h::kinds]
                self._store(place, run.highest[row], run.scale[row], run.experts[row], run.states[t])
                after = slice(t + 1, count)
                if t + 1 < count:
                    pending.highest[place] = np.where(known, values, -np.inf)[:, after].max(axis=1)
                    pending.crossed[place] = beyond[:, after].any(axis=1)
                    pending.whole[place] = known[:, after].all(axis=1)
                    if excluded is not None:
                        pending.state[place, excluded[:, after].any(axis=1)] = -1

    def _place(self, origin: int) -> Indices:
        """Return the places of the forecasts of this step, shape (h,)."""
        return np.asarray(self._begin + origin // self._every % self._places)

    def _store(
        self, place: int | Indices, centre: Floats, scale: Floats, exceedance: Floats, state: npt.NDArray[np.integer]
    ) -> None:
        pending = self._pending
        pending.highest[place] = -np.inf
        pending.centre[place], pending.scale[place], pending.exceedance[place] = centre, scale, exceedance
        pending.state[place], pending.crossed[place], pending.whole[place] = state, False, True

    def observe(
        self, number: int, values: Floats, centre: Floats, limits: Floats, above: Flags, calibration_excluded: Flags
    ) -> Floats:
        """Learn from one step and return, for every horizon, the probability that any step up to it lies beyond.

        Args:
            number: of the step: Unix seconds over ``step``, rounded down. Steps since the last one are unknown; an
                older number is not learned from.
            values: shape (s,), NaN where unknown.
            centre: forecasts from this step, shape (s, h); NaN without one.
            limits: shape (s,); NaN without a limit.
            above: whether values above the limit are harmful, else values below it, shape (s,).
            calibration_excluded: values that nothing is learned from, shape (s,).

        Returns:
            Shape (s, h); NaN where there is no limit, or fewer than ``MIN_CHECKS`` checks.
        """
        found = np.full((self._series, len(self._horizons)), np.nan)
        limited = np.isfinite(limits)
        limited[self._which] = True
        if limited.sum() > len(self._which):
            self._make_room(np.flatnonzero(limited))
        which = self._which
        if not len(which):
            self._number = number
            return found
        sign = np.where(above[which], 1.0, -1.0)
        bounds, values = limits[which] * sign, values[which] * sign
        if self._number is None or number > self._number:
            self._skip_to(number)
            self._learn_step(number, values, bounds, calibration_excluded[which] | np.isnan(bounds))
        found[which] = self._issue(number, centre[which] * sign[:, None], bounds)
        return found

    def _make_room(self, which: Indices) -> None:
        """Add series that have a limit from now on; ``which`` holds the old ones, too."""
        places, kinds = int(self._places.sum()), len(self._horizons)
        learned, pending = self._learned, self._pending
        self._learned = _stored(new_exceedance_state(len(which) * kinds, self._config))
        self._pending = _none_pending(places, len(which))
        since = np.full(len(which), np.inf)
        kept = np.searchsorted(which, self._which)
        since[kept] = self._since
        rows = (kept[:, None] * kinds + np.arange(kinds)).ravel()
        for name in ExceedanceState.__slots__:
            getattr(self._learned, name)[rows] = getattr(learned, name)
        for name in _Pending.__slots__:
            getattr(self._pending, name)[:, kept] = getattr(pending, name)
        self._which, self._since = which, since

    def _skip_to(self, number: int) -> None:
        """Advance over the steps since the last one, whose values are unknown."""
        if self._number is None:
            return
        missing = number - self._number - 1
        longest = int(self._horizons[-1])
        nothing, excluded = np.full(len(self._which), np.nan), np.zeros(len(self._which), dtype=bool)
        self._since += max(0, missing - longest) * self._step
        for skipped in range(number - min(missing, longest), number):
            self._learn_step(skipped, nothing, nothing, excluded)
        if missing > longest:
            self._pending.state[:] = -1

    def _learn_step(self, number: int, values: Floats, bounds: Floats, calibration_excluded: Flags) -> None:
        pending = self._pending
        known, beyond = np.isfinite(values), values > bounds
        np.fmax(pending.highest, values, out=pending.highest, casting="same_kind")
        pending.crossed |= beyond
        pending.whole &= known
        pending.state[:, calibration_excluded] = -1
        self._since = np.where(beyond, 0.0, self._since + self._step)
        self._learn_due(number)
        self._number = number

    def _learn_due(self, number: int) -> None:
        origins = number - self._horizons
        columns = np.flatnonzero(origins % self._every == 0)
        if not len(columns):
            return
        pending, kinds, config = self._pending, len(self._horizons), self._config
        places = (self._begin + origins // self._every % self._places)[columns]
        state = pending.state[places]
        crossed, whole = pending.crossed[places], pending.whole[places]
        which, series = np.nonzero((state >= 0) & (crossed | whole))
        pending.state[places] = -1
        if not len(which):
            return
        rows, places, state = series * kinds + columns[which], places[which], state[which, series].astype(np.intp)
        event = crossed[which, series].astype(float)
        slots = slot_of(origins[columns[which]], self._step, config)
        learn_event(self._learned, rows, state, slots, event, config)
        squared = (pending.exceedance[places, series] - event[:, None]) ** 2
        learn_score(self._learned, rows, (state == 0).astype(np.intp), squared, config)
        due = whole[which, series]
        if due.any():
            if not due.all():
                places, series, rows = places[due], series[due], rows[due]
            residual = pending.highest[places, series] - pending.centre[places, series]
            learn_path(self._learned, rows, residual, pending.scale[places, series], config)

    def _issue(self, number: int, centre: Floats, bounds: Floats) -> Floats:
        """Return the probabilities from this step, shape (m, h), and store the forecasts that will be checked."""
        learned, config = self._learned, self._config
        shape = centre.shape
        states, slot = state_of(self._since, config), slot_of(number, self._step, config)
        highest = np.maximum.accumulate(centre, axis=1)
        rows, by_row = np.arange(centre.size), np.repeat(states, shape[1])
        scale = scale_of(learned, config)
        total = learned.states.sum(axis=1)
        path = path_probability(learned.quantiles, scale, (bounds[:, None] - highest).ravel(), config)
        rated = rates(learned.states[rows, by_row], learned.slots[:, slot], total, config)
        experts = np.concatenate([path[:, None], rated], axis=1)
        side = (by_row == 0).astype(np.intp)
        by_series = (*shape, -1)
        exceedance = combine(
            learned.brier[rows, side].reshape(by_series), experts.reshape(by_series), total.reshape(by_series), config
        )
        checked = np.flatnonzero(number % self._every == 0)
        if len(checked) and number == self._number:
            places = self._place(number)[checked]
            self._store(
                places, highest[:, checked].T, scale.reshape(shape)[:, checked].T,
                experts.reshape(*shape, EXPERTS)[:, checked].swapaxes(0, 1),
                np.where(np.isnan(bounds - highest[:, -1]), -1, states),
            )  # fmt: skip
        return np.where(learned.judged.sum(axis=1).reshape(shape) >= MIN_CHECKS, exceedance, np.nan)


def _stored(state: ExceedanceState) -> ExceedanceState:
    kept = {part.name: getattr(state, part.name).astype(STORED) for part in dataclasses.fields(state)}
    return ExceedanceState(**kept | {"slots": state.slots.astype(STORED_SHORT)})
