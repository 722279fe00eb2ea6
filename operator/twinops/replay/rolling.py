"""The replay of a recording by the operator's core: one sync per row, in the order of time, without look-ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.api.references import TargetRef
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.assessment import limits_in_force
from twinops.core.forecast.config import CONFIG, Config
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.recorded import Recorded
from twinops.core.forecast.result import ForecastResult
from twinops.core.observation import Sample, Workload
from twinops.core.series import Floats, Series
from twinops.engine.twin import TwinEngine
from twinops.metric_definitions import definition
from twinops.replay.alerts import AlertLog, AlertSpan
from twinops.replay.recording import Recording
from twinops.replay.spec import ReplaySpec

WEEK_SECONDS = 7 * 86_400
_LONG_SECONDS = 8 * 86_400
"""Recordings of at least this length use the first week for learning, shorter ones the first half."""
_LIMIT_PERCENTILE = 95
_EVERY = 64

Flags = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]
"""Called with the number of rows done and of all rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """The results of the operator's core at each of n rows, for m metrics and h horizons.

    Attributes:
        recording: the recording that was replayed.
        spec: of the twin, with the limits that were learned.
        begin: first row that is scored; the rows before it are for learning.
        limits: shape (n, m), in force at each row, NaN where there was none.
        quantiles: as published, shape (n, m, h, levels), NaN where there was no forecast.
        calibrated: whether they have ``MIN_CHECKS`` checks, shape (n, m, h).
        exceedance: probability of a step up to the horizon beyond the limit, shape (n, m, h), NaN where unknown.
        warned: whether a persistent risk was forecast for a metric within its limit, shape (n, m).
        drifting: whether a drift alert was active, shape (n,).
        alerts: drift alerts that were raised.
        expected: value and band of the learned baseline, shape (n, m, 3), NaN where unknown.
    """

    recording: Recording
    spec: DigitalTwinSpec
    begin: int
    limits: Floats
    quantiles: Floats
    calibrated: Flags
    exceedance: Floats
    warned: Flags
    drifting: Flags
    alerts: tuple[AlertSpan, ...]
    expected: Floats

    @property
    def horizons_seconds(self) -> tuple[int, ...]:
        """Horizons of the forecasts, in seconds."""
        return tuple(self.spec.predictions.horizons_seconds)


def learning_rows(rows: int, step: float) -> int:
    """Return how many rows are for learning: the first week, or the first half of fewer than eight days."""
    return int(WEEK_SECONDS // step) if rows * step >= _LONG_SECONDS else rows // 2


def roll(
    recording: Recording, spec: ReplaySpec, *, progress: Progress | None = None, config: Config = CONFIG
) -> Replayed:
    """Replay a recording with the operator's core.

    Limits that are to be learned come from the learning rows alone and are in force from then on; at that row a new
    forecaster learns from all rows before it, as that of a new twin of a system with a history.

    Args:
        recording: the recorded metrics.
        spec: limits, expected values and horizons.
        progress: called every few rows.
        config: of the forecasts.
    """
    player = _Player(recording, spec, config)
    count = len(recording.times)
    for row in range(count):
        player.sync(row)
        if progress is not None and (row % _EVERY == 0 or row == count - 1):
            progress(row + 1, count)
    return player.replayed()


class _Player:
    def __init__(self, recording: Recording, spec: ReplaySpec, config: Config) -> None:
        rows, metrics = len(recording.times), len(recording.names)
        self._recording, self._config = recording, config
        self._spec, self._to_learn = spec.spec, spec.learn_limits
        self._horizons = self._spec.predictions.horizons_seconds
        self._begin = learning_rows(rows, recording.step)
        self._engine = TwinEngine(self._spec, self._new_forecaster(), corrections=False)
        self._target: Workload | None = None
        self._log = AlertLog()
        self._units = {metric.name: metric.unit for metric in self._spec.source.metrics if metric.unit is not None}
        shape = (rows, metrics, len(self._horizons))
        self._limits = np.full((rows, metrics), np.nan)
        self._quantiles = np.full((*shape, len(QUANTILES)), np.nan)
        self._calibrated = np.zeros(shape, dtype=bool)
        self._exceedance = np.full(shape, np.nan)
        self._warned = np.zeros((rows, metrics), dtype=bool)
        self._drifting = np.zeros(rows, dtype=bool)
        self._expected = np.full((rows, metrics, 3), np.nan)

    def sync(self, row: int) -> None:
        """Do one sync, as the operator does."""
        if row == self._begin and self._to_learn:
            self._learn_limits()
        recording, now = self._recording, float(self._recording.times[row])
        column = recording.values[:, row].tolist()
        samples = {name: self._sample(name, value, now) for name, value in zip(recording.names, column, strict=True)}
        workload = self._workload(row)
        # A learned limit leads to risks, not to drift: no user has set it, so that no deviation is critical for it.
        limits = limits_in_force(self._spec, workload)
        sync = self._engine.sync(
            now, samples, workload=workload, limits=limits, replicas=None if workload is None else workload.ready
        )
        self._keep(row, sync.observation.forecast_result, limits)
        place = {name: k for k, name in enumerate(recording.names)}
        for risk in sync.assessment.risks:
            self._warned[row, place[risk.metric]] = risk.persistent and not risk.current
        self._drifting[row] = self._log.take(row, sync.assessment.drift.alerts)

    def replayed(self) -> Replayed:
        """Return the results so far."""
        return Replayed(
            recording=self._recording,
            spec=self._spec,
            begin=self._begin,
            limits=self._limits,
            quantiles=self._quantiles,
            calibrated=self._calibrated,
            exceedance=self._exceedance,
            warned=self._warned,
            drifting=self._drifting,
            alerts=self._log.closed(),
            expected=self._expected,
        )

    def _new_forecaster(self) -> Forecaster:
        learned = bool(getattr(self._spec.expected_state, "learned", False))
        return Forecaster(
            self._recording.names, self._recording.step, self._horizons, learned=learned, config=self._config
        )

    def _learn_limits(self) -> None:
        recording, end = self._recording, self._begin
        limits = dict(self._spec.limits)
        for k, name in enumerate(recording.names):
            seen = recording.values[k, :end]
            seen = seen[np.isfinite(seen)]
            if name in self._to_learn and len(seen):
                below = definition(name).harmful_above is False
                limits[name] = float(np.percentile(seen, 100 - _LIMIT_PERCENTILE if below else _LIMIT_PERCENTILE))
        self._spec = self._spec.model_copy(update={"limits": limits})
        past = {
            name: Recorded(Series(recording.times[:end], recording.values[k, :end], recording.step))
            for k, name in enumerate(recording.names)
        }
        pods = recording.replicas
        replicas = None if pods is None else Recorded(Series(recording.times[:end], pods[:end], recording.step))
        self._engine.forecaster = self._new_forecaster()
        self._engine.forecaster.learn(past, limits=limits, replicas=replicas)

    def _sample(self, name: str, value: float, now: float) -> Sample:
        unit = self._units.get(name, definition(name).unit)
        # A number unequal to itself is NaN.
        if value != value:  # noqa: PLR0124
            return Sample(name, Quality.MISSING, unit=unit, reason="NotRecorded")
        return Sample(name, Quality.GOOD, value, unit=unit, time=now)

    def _workload(self, row: int) -> Workload | None:
        """Return the target with the recorded number of pods, all that is known of it."""
        recorded = self._recording.replicas
        if recorded is not None and np.isfinite(recorded[row]):
            ready = round(float(recorded[row]))
            self._target = Workload(TargetRef(name="recorded"), uid="", ready=ready, desired=ready)
        return self._target

    def _keep(self, row: int, forecast_result: ForecastResult, limits: Mapping[str, float]) -> None:
        for k, name in enumerate(self._recording.names):
            self._limits[row, k] = limits.get(name, np.nan)
            for h, forecast in enumerate(forecast_result.forecasts.get(name, ())):
                self._quantiles[row, k, h] = forecast.quantiles
                self._calibrated[row, k, h] = forecast.calibrated
            if exceedance := forecast_result.exceedance.get(name):
                self._exceedance[row, k] = exceedance
            if baseline := forecast_result.baselines.get(name):
                band = (baseline.expected, baseline.lower, baseline.upper)
                self._expected[row, k] = [np.nan if one is None else one for one in band]
