"""The forecaster of one twin: forecasts, risks and the learned baseline of all its metrics, sync by sync.

It is over 300 lines, as it holds one class, the public face of the room, a third of which is its documentation.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from twinops.core.baseline.estimate import BaselineEstimate, TwinBaseline
from twinops.core.forecast.backtest import BacktestRun
from twinops.core.forecast.calibration import CalibrationState, relative_error
from twinops.core.forecast.config import CONFIG, Config
from twinops.core.forecast.ensemble import Ensemble, advance, start
from twinops.core.forecast.exceedance_online import OnlineExceedance
from twinops.core.forecast.horizon import MIN_SAMPLES
from twinops.core.forecast.interpolation import ahead
from twinops.core.forecast.members import WINDOW
from twinops.core.forecast.pack import pack, resume
from twinops.core.forecast.recorded import HUGE, Grid, Recorded, grid_of, measured
from twinops.core.forecast.reporting import horizon_forecasts, skills
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.core.series import Flags, Floats, Indices, Series
from twinops.metric_definitions import MEAN_PER_POD, definition

QUICK_ORIGINS = 45
"""Origins of the backtest behind a quick first result."""
ORIGINS = 1200
"""Origins of a full backtest: at five minutes, three days of skill after a day in which the weights settle."""
RECENT_STEPS = ORIGINS + WINDOW
"""Newest steps that ``Recorded.recent`` needs: the origins, and the steps that the first of them reads."""
_PACK_SECONDS = 900
_NO_STATES: Mapping[str, str] = MappingProxyType({})


class Forecaster:
    """Forecasts the metrics of one twin.

    Its result holds, for each metric and horizon, calibrated quantiles (``core.forecast.calibration``) and, where the
    metric has a limit, the exceedance probability (``core.forecast.exceedance``); besides, the skill of the forecasts
    and, where it is asked for, the learned baseline (``core.baseline``).

    ``learn`` takes recorded history and may be called again with a longer one; ``observe`` takes one sync and returns
    a new ``ForecastResult``. ``learn`` is optional: without history, the first ``MIN_SAMPLES`` syncs give no forecast.

        forecaster = Forecaster(["cpuUsage"], step=60.0, horizons_seconds=[900, 3600])
        forecaster.learn({"cpuUsage": Recorded(series)}, limits={"cpuUsage": 90.0})
        result = forecaster.observe(now, {"cpuUsage": 63.2}, limits={"cpuUsage": 90.0}, replicas=3)
        result.forecasts["cpuUsage"][0].upper, result.exceedance["cpuUsage"][0]

    The number of a step is its Unix time over ``step``, rounded down. There is no I/O, no clock and no randomness.
    Memory is bounded: about 25 to 45 KiB for six metrics. The state is a cache: a restart rebuilds it from recorded
    history and the packed states in ``Skill.state``. Not safe for use by several threads.

    Args:
        metrics: their names; ranges and harmful sides come from the metric definitions.
        step: seconds between two syncs.
        horizons_seconds: any up to a day, in any order; forecasts between two steps are interpolated.
        learned: whether the learned baseline is maintained, too.
        config: of the forecasts.

    Attributes:
        metrics: as given.
        step: as given.
        horizons_seconds: as given; forecasts are in this order.
        newest: number of the newest step, None before the first.
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
        self._scaled = np.array([name in MEAN_PER_POD for name in self.metrics], dtype=bool)
        self._baseline = TwinBaseline(self.metrics, self.step) if learned else None
        self._ranges = np.array([_range(name) for name in self.metrics]).reshape(-1, 2).T
        self._above = np.array([definition(name).harmful_above is not False for name in self.metrics], dtype=bool)
        self._risk = self._new_risk()
        self._exceedance = np.empty((len(self.metrics), 0))
        self._ensemble: Ensemble | None = None
        self._samples: Indices = np.zeros(len(self.metrics), dtype=np.intp)
        self._replicas: float | None = None
        self._base_replicas: float | None = None
        self._warming = False
        self._baselines: Mapping[str, BaselineEstimate] = {}
        self._packed_at: int | None = None
        self._packed_states: list[str] = []
        self._result = ForecastResult()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, without the learned baseline."""
        return int(self._samples.nbytes) + self._risk.nbytes + (self._ensemble.nbytes if self._ensemble else 0)

    @property
    def warming(self) -> bool:
        """Whether the full backtest is still to come."""
        return self._warming

    def forecast_result(self) -> ForecastResult:
        """Return the result of the newest ``learn`` or ``observe`` again."""
        return self._result

    def learn(
        self,
        past: Mapping[str, Recorded],
        *,
        limits: Mapping[str, float],
        replicas: Recorded | None = None,
        origins: int | None = None,
        states: Mapping[str, str] = _NO_STATES,
    ) -> None:
        """Learn from recorded history by a backtest; everything learned before is dropped.

        Without any recorded value nothing changes.

        Args:
            past: by metric.
            limits: by metric.
            replicas: number of pods over time, by which means per pod become totals.
            origins: newest steps to forecast from; few for a quick first result, by default those of a full backtest.
            states: ``Skill.state`` by metric, which replaces what the backtest learned; one of another shape or
                configuration is ignored.
        """
        rows = [self._as_total(name, past.get(name), replicas) for name in self.metrics]
        grid = grid_of(rows, self.step)
        if grid is None:
            return
        self._samples = grid.samples
        self._base_replicas = None if replicas is None else 1.0
        self.newest = grid.first + grid.values.shape[1] - 1
        self._ensemble, run = start(
            grid.values,
            grid.first,
            self.step,
            self._horizons,
            self._config,
            origins=ORIGINS if origins is None else origins,
            older=grid.older,
        )
        resumed = self._resume(self._ensemble.state, states)
        short = origins is not None and origins < min(ORIGINS, grid.values.shape[1])
        # Packed states do not contain the exceedance: where there are limits, it takes the full backtest.
        self._warming = short and bool(not resumed or limits)
        self._packed_at = None
        self._learn_risk(grid, run, limits, replicas)
        if self._baseline is not None:
            until = (self.newest + 1) * self.step
            self._baselines = self._baseline.learn({name: one.joined() for name, one in past.items()}, until)
        self._refresh(self._factors())

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
        """Take in one sync and return the new result.

        Args:
            now: Unix seconds. Nothing is learned from a sync in the step of the one before, or in an earlier step.
            values: fresh values by metric; None, not finite or left out where there is no fresh value.
            limits: by metric, in force at this sync.
            replicas: number of pods that means per pod are taken over; None leaves it as it was.
            calibration_excluded: metrics that a correction affects: no forecast is checked by their value, unless it is
                a mean per pod whose total is forecast.
            risk_excluded: further metrics whose limit a correction changes: no exceedance is learned from them.
            censored: metrics whose value is only a lower bound.
        """
        number = math.floor(now / self.step + 1e-9)
        if replicas is not None:
            self._replicas = float(max(replicas, 1))
            self._base_replicas = self._base_replicas or self._replicas
        factors = self._factors()
        if self.newest is None or number > self.newest:
            excluded = self._flags(calibration_excluded)
            fresh = np.array([_finite(values.get(name)) for name in self.metrics], dtype=np.float64)
            fresh = self._advance(number, measured(fresh * factors), excluded, censored)
            unlearned = excluded | self._flags(risk_excluded) if risk_excluded else excluded
            bounds = self._limits(limits) * factors
            self._exceedance = self._risk.observe(number, fresh, self._centre(), bounds, self._above, unlearned)
            if self._baseline is not None:
                usable = (np.isfinite(fresh) & ~excluded).tolist()
                taken = {
                    name: values.get(name) if use else None for name, use in zip(self.metrics, usable, strict=True)
                }
                self._baselines = self._baseline.observe(now, taken)
        self._refresh(factors)
        return self._result

    def _advance(self, number: int, fresh: Floats, excluded: Flags, censored: Collection[str]) -> Floats:
        """Let the ensemble take in one step, and return its values as they were used, shape (series,).

        Args:
            number: of the step.
            fresh: values to forecast, shape (series,), NaN where unknown.
            excluded: which of them a correction affects, shape (series,).
            censored: metrics whose value is only a lower bound.
        """
        if self._ensemble is None:
            self._ensemble, _ = start(fresh[:, None], number, self.step, self._horizons, self._config)
        else:
            fresh = advance(
                self._ensemble,
                number,
                fresh,
                self._config,
                calibration_excluded=excluded if self._replicas is None else excluded & ~self._scaled,
                censored=self._flags(censored) if censored else None,
            )
        self.newest = number
        self._samples += np.isfinite(fresh)
        return fresh

    def _resume(self, state: CalibrationState, states: Mapping[str, str]) -> bool:
        """Put packed states in place of what was learned; return whether there was one for every known metric."""
        shape = (self._horizons, self.step, self._config)
        known = [(k, states.get(name, "")) for k, name in enumerate(self.metrics) if self._samples[k]]
        resumed = [resume(state, k, text, *shape) for k, text in known]
        return all(resumed)

    def _flags(self, names: Collection[str]) -> Flags:
        """Return which metrics are among these, shape (series,)."""
        return np.array([name in names for name in self.metrics], dtype=bool)

    def _as_total(self, name: str, past: Recorded | None, replicas: Recorded | None) -> Recorded | None:
        """Return the series that is forecast: of a mean per pod the total over all pods, else the past as it is."""
        if name not in MEAN_PER_POD or past is None or replicas is None or not replicas.parts:
            return past
        return past.scaled(replicas)

    def _factors(self) -> Floats:
        """Return the factors that turn values into totals, shape (series,).

        Before the first known number of replicas, that number is assumed.
        """
        factor = 1.0 if self._replicas is None or self._base_replicas is None else self._replicas / self._base_replicas
        return np.where(self._scaled, factor, 1.0)

    def _new_risk(self) -> OnlineExceedance:
        return OnlineExceedance(len(self.metrics), self._horizons, self.step, self._config)

    def _limits(self, limits: Mapping[str, float]) -> Floats:
        """Return the limits, shape (series,), NaN where there is none, or the metric has no known value yet."""
        found = np.array([_finite(limits.get(name)) for name in self.metrics], dtype=np.float64)
        if self._ensemble is not None:
            found[~np.isfinite(self._ensemble.last)] = np.nan
        return found

    def _centre(self) -> Floats:
        """Return the ensemble's forecasts, shape (series, horizons)."""
        found = np.empty((0, 0)) if self._ensemble is None else self._ensemble.centre
        return np.asarray(found, dtype=float)

    def _learn_risk(self, grid: Grid, run: BacktestRun, limits: Mapping[str, float], replicas: Recorded | None) -> None:
        """Learn the exceedance over the origins of the backtest."""
        begin = int(run.origins[0])
        values = grid.values[:, begin:]
        bounds = np.repeat(self._limits(limits)[:, None], values.shape[1], axis=1)
        times = (grid.first + run.origins.astype(np.float64)) * self.step
        for k, name in enumerate(self.metrics):
            bound = self._as_total(name, Recorded(Series(times, bounds[k], self.step)), replicas)
            if bound is not None:
                bounds[k] = bound.recent.values
        # Before a metric's first value there is no forecast that could be checked by it.
        known = np.isfinite(values)
        before = known & (np.cumsum(known, axis=1) == 1)
        before[:, 0] = False
        centre = np.nan_to_num(run.centre[..., 0])
        self._risk = self._new_risk()
        self._risk.learn(values, centre, bounds, self._above, first=grid.first + begin, calibration_excluded=before)
        newest = grid.first + grid.values.shape[1] - 1
        nothing = np.zeros(len(self.metrics), dtype=bool)
        self._exceedance = self._risk.observe(
            newest, values[:, -1], self._centre(), bounds[:, -1], self._above, nothing
        )

    def _refresh(self, factors: Floats) -> None:
        """Build the result of the current state."""
        found = self._ensemble
        samples = dict(zip(self.metrics, self._samples.tolist(), strict=True))
        if found is None:
            self._result = ForecastResult(baselines=self._baselines, samples=samples, warming=self._warming)
            return
        last = found.last.astype(np.float64)[:, None, None]
        quantiles = self._ahead.at(found.quantiles(self._config), 1, last)
        quantiles /= factors[:, None, None]
        usable = ((self._samples >= MIN_SAMPLES) & np.isfinite(found.last)).tolist()
        error, checks = relative_error(found.state), found.state.checks.astype(np.intp)
        both = np.minimum(self._ahead.nearer(checks, 1), self._ahead.farther(checks, 1))
        each = horizon_forecasts(quantiles, self._ahead.at(error, 1), both, self.horizons_seconds, self._ranges)
        # For a horizon within the first step it is that of the first step.
        exceedance = self._ahead.at(self._exceedance, 1) if self._exceedance.shape[1] else self._exceedance
        any_known = np.any(np.isfinite(exceedance), axis=1).tolist()
        rows = zip(self.metrics, exceedance.tolist(), usable, any_known, strict=True)
        self._result = ForecastResult(
            forecasts={name: one for name, one, use in zip(self.metrics, each, usable, strict=True) if use},
            exceedance={name: tuple(row) for name, row, use, known in rows if use and known},
            baselines=self._baselines,
            skills=self._skills(found.state, error, usable),
            samples=samples,
            warming=self._warming,
        )

    def _skills(self, state: CalibrationState, error: Floats, usable: list[bool]) -> tuple[Skill, ...]:
        found = skills(self.metrics, state, error, self._packed(state))
        return tuple(one for one, use in zip(found, usable, strict=True) if use)

    def _packed(self, state: CalibrationState) -> list[str]:
        """Return the packed states, at most a quarter of an hour old: packing is costly, and they change little."""
        at = self._packed_at
        if self.newest is None or at is None or (self.newest - at) * self.step >= _PACK_SECONDS:
            self._packed_at, self._packed_states = self.newest, pack(state, self._horizons, self.step, self._config)
        return self._packed_states


def _finite(value: float | None) -> float:
    return value if value is not None and abs(value) < HUGE else math.nan


def _range(metric: str) -> tuple[float, float]:
    about = definition(metric)
    return (
        -math.inf if about.minimum is None else about.minimum,
        math.inf if about.maximum is None else about.maximum,
    )
