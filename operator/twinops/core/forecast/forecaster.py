"""The forecaster of one twin: forecasts, risks and the learned baseline of all its metrics, sync by sync.

It is over 300 lines, as it holds one class, the public face of the room, a third of which is its documentation.
"""

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
from twinops.core.forecast.horizon import MIN_SAMPLES
from twinops.core.forecast.interpolation import ahead
from twinops.core.forecast.members import WINDOW
from twinops.core.forecast.pack import pack, resume
from twinops.core.forecast.recorded import HUGE, Grid, Recorded, grid_of, measured
from twinops.core.forecast.reporting import horizon_forecasts, skills
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.core.series import Flags, Floats, Indices, Series
from twinops.metric_definitions import MEAN_PER_POD, definition

__all__ = ["QUICK_ORIGINS", "RECENT_STEPS", "Forecaster", "Recorded"]

QUICK_ORIGINS = 45
"""Origins of the backtest behind a first answer."""
ORIGINS = 1200
"""Origins of a full backtest: at five minutes, three days of skill after a day in which the weights settle."""
RECENT_STEPS = ORIGINS + WINDOW
"""Newest steps that ``Recorded.recent`` needs: the origins, and what the first of them reads."""
_PACK_SECONDS = 900
_NO_STATES: Mapping[str, str] = MappingProxyType({})


class Forecaster:
    """Forecasts the metrics of one twin.

    It gives, for each metric and horizon, calibrated quantiles (``core.forecast.calibration``) and, where the metric
    has a limit, the probability that it is crossed on the way (``core.forecast.exceedance``); besides, how good its
    forecasts have been and, if asked for, what is normal (``core.baseline``).

    ``learn`` takes recorded history, as often as there is a better one; ``observe`` takes one sync and returns a new
    ``ForecastResult``. Both are optional: without history, the first ``MIN_SAMPLES`` syncs give no forecast.

        forecaster = Forecaster(["cpuUsage"], step=60.0, horizons_seconds=[900, 3600])
        forecaster.learn({"cpuUsage": Recorded(series)}, limits={"cpuUsage": 90.0})
        result = forecaster.observe(now, {"cpuUsage": 63.2}, limits={"cpuUsage": 90.0}, replicas=3)
        result.forecasts["cpuUsage"][0].upper, result.exceedance["cpuUsage"][0]

    Time is cut into steps: the step of a moment is its Unix time over ``step``, rounded down. There is no I/O and no
    clock, and nothing random. Memory is bounded: about 25 to 45 KiB for six metrics. The state is a cache: a restart
    rebuilds it from recorded history and the packed states in ``Skill.state``. Not safe for use by several threads.

    Args:
        metrics: their names; ranges, and the side on which a value is harmful, come from the metric definitions.
        step: seconds between two syncs.
        horizons_seconds: any up to a day, in any order; forecasts between two steps are interpolated.
        learned: whether the learned baseline is kept, too.
        config: the frozen configuration.

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
    def cold(self) -> bool:
        """Tell whether the full backtest is still to be done."""
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
        """Learn from recorded history by a backtest; all that was learned before is dropped.

        Nothing changes where nothing is recorded.

        Args:
            past: by metric.
            limits: by metric.
            replicas: number of pods over time, by which means per pod become totals.
            origins: newest steps to forecast from; few for a first answer, by default the full backtest.
            states: ``Skill.state`` by metric, in place of what the backtest learned; one of another shape or
                configuration is ignored.
        """
        rows = [self._as_total(name, past.get(name), replicas) for name in self.metrics]
        grid = grid_of(rows, self.step)
        if grid is None:
            return
        self._samples = grid.samples
        self._base_replicas = None if replicas is None else 1.0
        self.newest = grid.first + grid.values.shape[1] - 1
        self._ensemble, done = start(
            grid.values,
            grid.first,
            self.step,
            self._horizons,
            self._config,
            origins=ORIGINS if origins is None else origins,
            older=grid.older,
        )
        state, shape = self._ensemble.state, (self._horizons, self.step, self._config)
        not_resumed = [
            name
            for k, name in enumerate(self.metrics)
            if self._samples[k] and not resume(state, k, states.get(name, ""), *shape)
        ]
        short = origins is not None and origins < min(ORIGINS, grid.values.shape[1])
        # States hold nothing of the exceedance: where there are limits, it takes the full backtest.
        self._warming = short and bool(not_resumed or limits)
        self._packed_at = None
        self._learn_risk(grid, done, limits, replicas)
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
            values: fresh values by metric; None, not finite or left out where there is none.
            limits: by metric; they may change from sync to sync.
            replicas: pods that means per pod are taken over now; as before where it is not given.
            calibration_excluded: metrics that a correction affects: their value is known, but no forecast is checked
                by it, unless it is a mean per pod whose total is forecast.
            risk_excluded: further metrics whose limit a correction moves: no exceedance is learned from them.
            censored: metrics whose value is only a lower bound now.
        """
        number = math.floor(now / self.step + 1e-9)
        if replicas is not None:
            self._replicas = float(max(replicas, 1))
            self._base_replicas = self._base_replicas or self._replicas
        factors = self._factors()
        if self.newest is not None and number <= self.newest:
            self._refresh(factors)
            return self._result
        fresh = np.array([_finite(values.get(name)) for name in self.metrics], dtype=np.float64)
        fresh = measured(fresh * factors)
        excluded = self._flags(calibration_excluded)
        unchecked = excluded if self._replicas is None else excluded & ~self._scaled
        if self._ensemble is None:
            self._ensemble, _ = start(fresh[:, None], number, self.step, self._horizons, self._config)
        else:
            fresh = advance(
                self._ensemble,
                number,
                fresh,
                self._config,
                calibration_excluded=unchecked,
                censored=self._flags(censored) if censored else None,
            )
        self.newest = number
        known = np.isfinite(fresh)
        unlearned = excluded | self._flags(risk_excluded) if risk_excluded else excluded
        self._exceedance = self._risk.observe(
            number, fresh, self._centre(), self._limits(limits) * factors, self._above, unlearned
        )
        self._samples += known
        if self._baseline is not None:
            usable = (known & ~excluded).tolist()
            judged = {name: values.get(name) if use else None for name, use in zip(self.metrics, usable, strict=True)}
            self._baselines = self._baseline.observe(now, judged)
        self._refresh(factors)
        return self._result

    def _flags(self, names: Collection[str]) -> Flags:
        """Tell which metrics are among these, shape (series,)."""
        return np.array([name in names for name in self.metrics], dtype=bool)

    def _as_total(self, name: str, past: Recorded | None, replicas: Recorded | None) -> Recorded | None:
        """Return the past that is forecast: the total over all pods for a mean per pod, else the past as it is."""
        if name not in MEAN_PER_POD or past is None or replicas is None or not replicas.parts:
            return past
        return past.scaled(replicas)

    def _factors(self) -> Floats:
        """Return what values are multiplied by to give totals, shape (series,).

        Before the first known number of replicas, the number is taken to have been the same.
        """
        factor = 1.0 if self._replicas is None or self._base_replicas is None else self._replicas / self._base_replicas
        return np.where(self._scaled, factor, 1.0)

    def _new_risk(self) -> OnlineExceedance:
        return OnlineExceedance(len(self.metrics), self._horizons, self.step, self._config)

    def _limits(self, limits: Mapping[str, float]) -> Floats:
        """Return the limits, shape (series,), NaN where there is none or no value of the metric was ever known."""
        found = np.array([_finite(limits.get(name)) for name in self.metrics], dtype=np.float64)
        if self._ensemble is not None:
            found[~np.isfinite(self._ensemble.last)] = np.nan
        return found

    def _centre(self) -> Floats:
        """Return the ensemble's forecasts, shape (series, horizons)."""
        found = np.empty((0, 0)) if self._ensemble is None else self._ensemble.centre
        return np.asarray(found, dtype=float)

    def _learn_risk(self, grid: Grid, done: Run, limits: Mapping[str, float], replicas: Recorded | None) -> None:
        """Learn the exceedance over the origins of the backtest."""
        begin = int(done.origins[0])
        values = grid.values[:, begin:]
        bounds = np.repeat(self._limits(limits)[:, None], values.shape[1], axis=1)
        times = (grid.first + done.origins.astype(np.float64)) * self.step
        for k, name in enumerate(self.metrics):
            bound = self._as_total(name, Recorded(Series(times, bounds[k], self.step)), replicas)
            if bound is not None:
                bounds[k] = bound.recent.values
        # A forecast from before a metric's first value is no forecast.
        known = np.isfinite(values)
        before = known & (np.cumsum(known, axis=1) == 1)
        before[:, 0] = False
        centre = np.nan_to_num(done.centre[..., 0])
        self._risk = self._new_risk()
        self._risk.learn(values, centre, bounds, self._above, first=grid.first + begin, calibration_excluded=before)
        newest = grid.first + grid.values.shape[1] - 1
        nothing = np.zeros(len(self.metrics), dtype=bool)
        self._exceedance = self._risk.observe(
            newest, values[:, -1], self._centre(), bounds[:, -1], self._above, nothing
        )

    def _refresh(self, factors: Floats) -> None:
        """Make the result of the current state."""
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
        # The probability of a crossing until a horizon within the first step is that of the first step.
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
        """Return the packed states, at most a quarter of an hour old: packing is dear, and they change little."""
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
