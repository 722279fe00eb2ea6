"""The memory of a twin: everything its outlook rests on, fed by syncs, rebuilt from recorded history."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from twinops.core.baseline.estimate import BaselineEstimate, TwinBaseline
from twinops.core.forecast.backtest import Run
from twinops.core.forecast.calibration import CalibrationState, relative_error
from twinops.core.forecast.config import CONFIG, Config
from twinops.core.forecast.ensemble import Ensemble, advance, start
from twinops.core.forecast.exceedance_online import OnlineExceedance
from twinops.core.forecast.horizon import MIN_CHECKS, MIN_SAMPLES
from twinops.core.forecast.interpolation import ORIGINS, ahead, horizon_forecasts
from twinops.core.forecast.members import WINDOW
from twinops.core.forecast.pack import pack, resume
from twinops.core.forecast.recorded import HUGE, Grid, Recorded, grid_of, measured
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.core.metrics.definitions import CPU, facts
from twinops.core.series import Floats, Indices, Series

__all__ = ["QUICK_ORIGINS", "RECENT_STEPS", "SCALED", "Forecaster", "Recorded"]

SCALED = frozenset({CPU})
"""Metrics per pod whose total is remembered: a correction changes the share of each pod, not the total."""
QUICK_ORIGINS = 45
"""Origins of a first answer."""
_PACK_SECONDS = 900
RECENT_STEPS = ORIGINS + WINDOW
"""Newest steps that ``Recorded.recent`` needs: the origins, and what the first of them reads."""
_TINY = 1e-30
_NO_STATES: Mapping[str, str] = MappingProxyType({})


class Forecaster:
    """All that a twin's outlook rests on; a cache that is rebuilt from recorded history.

    Args:
        metrics: their names.
        step: seconds between two syncs.
        horizons_seconds: any up to a day, in any order; between two steps what is foreseen is interpolated.
        learned: whether the learned baseline is kept, too.
        config: the frozen one.

    Attributes:
        newest: slot number of the newest step, None before the first.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        step: float,
        horizons_seconds: Sequence[int],
        *,
        learned: bool = False,
        config: Config = CONFIG,
    ) -> None:
        self.metrics = tuple(metrics)
        self.step = float(step)
        self.horizons_seconds = tuple(horizons_seconds)
        self.newest: int | None = None
        self._config = config
        self._ahead = ahead(self.horizons_seconds or (math.ceil(step),), step)
        self._horizons: Indices = self._ahead.steps
        self._scaled = np.array([name in SCALED for name in self.metrics], dtype=bool)
        self._baseline = TwinBaseline(self.metrics, self.step) if learned else None
        self._ranges = np.array([_range(name) for name in self.metrics]).reshape(-1, 2).T
        self._above = np.array([facts(name).harmful_above is not False for name in self.metrics], dtype=bool)
        self._risk = self._no_risk()
        self._chances = np.empty((len(self.metrics), 0))
        self._foresight: Ensemble | None = None
        self._samples: Indices = np.zeros(len(self.metrics), dtype=np.intp)
        self._replicas: float | None = None
        self._base: float | None = None
        self._warming = False
        self._readings: Mapping[str, BaselineEstimate] = {}
        self._states: tuple[int | None, list[str]] = None, []
        self._outlook = ForecastResult()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, without the learned baseline."""
        return int(self._samples.nbytes) + self._risk.nbytes + (self._foresight.nbytes if self._foresight else 0)

    @property
    def cold(self) -> bool:
        """Tell whether the full backtest is still to come."""
        return self._warming

    def forecast_result(self) -> ForecastResult:
        """Return the last one again."""
        return self._outlook

    def learn(
        self,
        past: Mapping[str, Recorded],
        *,
        limits: Mapping[str, float],
        replicas: Recorded | None = None,
        origins: int | None = None,
        states: Mapping[str, str] = _NO_STATES,
    ) -> None:
        """Learn from recorded history; whatever was known before is forgotten.

        Args:
            past: by metric.
            limits: by metric.
            replicas: pods that the metrics per pod are means over, over time.
            origins: newest steps to forecast from; few for a first answer, by default the full backtest.
            states: ``Skill.state`` by metric, in place of what the backtest learned; one of another shape or
                configuration is ignored.
        """
        rows = [self._total(name, past.get(name), replicas) for name in self.metrics]
        grid = grid_of(rows, self.step)
        if grid is None:
            return
        self._samples = grid.samples
        self._base = None if replicas is None else 1.0
        self.newest = grid.first + grid.values.shape[1] - 1
        self._foresight, done = start(
            grid.values,
            grid.first,
            self.step,
            self._horizons,
            self._config,
            origins=ORIGINS if origins is None else origins,
            older=grid.older,
        )
        state, shape = self._foresight.state, (self._horizons, self.step, self._config)
        unknown = [
            name
            for k, name in enumerate(self.metrics)
            if self._samples[k] and not resume(state, k, states.get(name, ""), *shape)
        ]
        short = origins is not None and origins < min(ORIGINS, grid.values.shape[1])
        # What is known of risks does not stand in status.
        self._warming = short and bool(unknown or limits)
        self._states = None, []
        self._learn_risk(grid, done, limits, replicas)
        if self._baseline is not None:
            until = (self.newest + 1) * self.step
            self._readings = self._baseline.learn({name: one.joined() for name, one in past.items()}, until)
        self._refresh()

    def observe(
        self,
        now: float,
        values: Mapping[str, float | None],
        *,
        limits: Mapping[str, float],
        replicas: int | None = None,
        calibration_excluded: Collection[str] = (),
        risk_excluded: Collection[str] = (),
        censored: Collection[str] = (),
    ) -> ForecastResult:
        """Take in one sync.

        Args:
            now: Unix seconds. In the slot of the sync before, or earlier: nothing is learned.
            values: fresh, finite values only.
            limits: by metric.
            replicas: pods that the metrics per pod are means over now; as before where it is not given.
            calibration_excluded: metrics that a correction bends: their value is known, but nothing is scored on it.
                Remembered as a total, a metric per pod is bent no longer, and its forecasts are.
            risk_excluded: further metrics whose limit a correction moves: no chance of crossing it is learned.
            censored: metrics whose value is only a lower bound now.
        """
        number = math.floor(now / self.step + 1e-9)
        if replicas is not None:
            self._replicas = float(max(replicas, 1))
            self._base = self._base or self._replicas
        if self.newest is not None and number <= self.newest:
            self._refresh()
            return self._outlook
        fresh = np.array([_finite(values.get(name)) for name in self.metrics], dtype=np.float64)
        fresh = measured(fresh * self._factors)
        bent = np.array([name in calibration_excluded for name in self.metrics], dtype=bool)
        moved = np.array([name in risk_excluded for name in self.metrics], dtype=bool)
        hidden = bent if self._replicas is None else bent & ~self._scaled
        if self._foresight is None:
            self._foresight, _ = start(fresh[:, None], number, self.step, self._horizons, self._config)
        else:
            bounds = np.array([name in censored for name in self.metrics], dtype=bool)
            fresh = advance(self._foresight, number, fresh, self._config, calibration_excluded=hidden, censored=bounds)
        self.newest = number
        known = np.isfinite(fresh)
        self._chances = self._risk.observe(
            number, fresh, self._centre(), self._limits(limits) * self._factors, self._above, bent | moved
        )
        self._samples += known
        if self._baseline is not None:
            usable = known & ~bent
            judged = {name: values.get(name) if usable[k] else None for k, name in enumerate(self.metrics)}
            self._readings = self._baseline.observe(now, judged)
        self._refresh()
        return self._outlook

    def _total(self, name: str, past: Recorded | None, replicas: Recorded | None) -> Recorded | None:
        """Return what is remembered of a metric: what all pods have together, where it is told per pod."""
        if name not in SCALED or past is None or replicas is None or not replicas.parts:
            return past
        return past.scaled(replicas)

    @property
    def _factors(self) -> Floats:
        """What values are multiplied by to be remembered, shape (series,).

        Of the time before the first replicas that are known, the number is taken to have been the same.
        """
        factor = 1.0 if self._replicas is None or self._base is None else self._replicas / self._base
        return np.where(self._scaled, factor, 1.0)

    def _no_risk(self) -> OnlineExceedance:
        return OnlineExceedance(len(self.metrics), self._horizons, self.step, self._config)

    def _limits(self, limits: Mapping[str, float]) -> Floats:
        """Return the limits, shape (series,), NaN where there is none or nothing is known of the metric."""
        found = np.array([_finite(limits.get(name)) for name in self.metrics], dtype=np.float64)
        if self._foresight is not None:
            found[~np.isfinite(self._foresight.last)] = np.nan
        return found

    def _centre(self) -> Floats:
        """Return the ensemble's forecasts, shape (series, horizons)."""
        found = np.empty((0, 0)) if self._foresight is None else self._foresight.centre
        return np.asarray(found, dtype=float)

    def _learn_risk(self, grid: Grid, done: Run, limits: Mapping[str, float], replicas: Recorded | None) -> None:
        """Let the risk learn from the steps that were forecast from."""
        begin = int(done.origins[0])
        values = grid.values[:, begin:]
        bounds = np.repeat(self._limits(limits)[:, None], values.shape[1], axis=1)
        times = (grid.first + done.origins.astype(np.float64)) * self.step
        for k, name in enumerate(self.metrics):
            bound = self._total(name, Recorded(Series(times, bounds[k], self.step)), replicas)
            if bound is not None:
                bounds[k] = bound.recent.values
        # What was forecast before the first value is nothing to learn from.
        known = np.isfinite(values)
        before = known & (np.cumsum(known, axis=1) == 1)
        before[:, 0] = False
        centre = np.nan_to_num(done.centre[..., 0])
        self._risk = self._no_risk()
        self._risk.learn(values, centre, bounds, self._above, first=grid.first + begin, calibration_excluded=before)
        newest = grid.first + grid.values.shape[1] - 1
        nothing = np.zeros(len(self.metrics), dtype=bool)
        self._chances = self._risk.observe(newest, values[:, -1], self._centre(), bounds[:, -1], self._above, nothing)

    def _refresh(self) -> None:
        """Make the outlook of what is known now."""
        found = self._foresight
        samples = dict(zip(self.metrics, self._samples.tolist(), strict=True))
        if found is None:
            self._outlook = ForecastResult(baselines=self._readings, samples=samples, warming=self._warming)
            return
        last = found.last.astype(np.float64)[:, None, None]
        quantiles = self._ahead.at(found.quantiles(self._config), 1, last)
        quantiles /= self._factors[:, None, None]
        known = ((self._samples >= MIN_SAMPLES) & np.isfinite(found.last)).tolist()
        error, checks = relative_error(found.state), found.state.checks.astype(np.intp)
        both = np.minimum(self._ahead.nearer(checks, 1), self._ahead.farther(checks, 1))
        each = horizon_forecasts(quantiles, self._ahead.at(error, 1), both, self.horizons_seconds, self._ranges)
        # What may happen until a horizon within the first step is what may happen until that step.
        exceedance = self._ahead.at(self._chances, 1) if self._chances.shape[1] else self._chances
        chanced = np.any(np.isfinite(exceedance), axis=1).tolist()
        rows = zip(self.metrics, exceedance.tolist(), known, chanced, strict=True)
        self._outlook = ForecastResult(
            forecasts={name: one for name, one, use in zip(self.metrics, each, known, strict=True) if use},
            exceedance={name: tuple(row) for name, row, use, any_known in rows if use and any_known},
            baselines=self._readings,
            skills=tuple(one for one, use in zip(self._skills(found.state, error), known, strict=True) if use),
            samples=samples,
            warming=self._warming,
        )

    def _skills(self, state: CalibrationState, errors: Floats) -> list[Skill]:
        error = errors.mean(axis=1).tolist()
        covered = state.covered.mean(axis=1).tolist()
        with np.errstate(over="ignore"):  # Naive may never have been wrong; status tells a finite figure.
            width = (state.width[..., 0] / np.maximum(state.width[..., 1], _TINY)).mean(axis=1).tolist()
        checks = state.checks.min(axis=1).astype(int).tolist()
        trusted = np.all(state.trusted, axis=1).tolist()
        rows = zip(self.metrics, error, covered, width, checks, trusted, self._packed(state), strict=True)
        return [
            Skill(name, mean, share, wide, count, gate, text)
            if count >= MIN_CHECKS
            else Skill(name, None, None, None, count, gate, text)
            for name, mean, share, wide, count, gate, text in rows
        ]

    def _packed(self, state: CalibrationState) -> list[str]:
        """Return what a restart resumes from, at most a quarter of an hour old: it changes little, and costs."""
        when, packed = self._states
        if self.newest is None or when is None or (self.newest - when) * self.step >= _PACK_SECONDS:
            packed = pack(state, self._horizons, self.step, self._config)
            self._states = self.newest, packed
        return packed


def _finite(value: float | None) -> float:
    return value if value is not None and abs(value) < HUGE else math.nan


def _range(metric: str) -> tuple[float, float]:
    about = facts(metric)
    return (
        -math.inf if about.minimum is None else about.minimum,
        math.inf if about.maximum is None else about.maximum,
    )
