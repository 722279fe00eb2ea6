"""A week with corrections on, against the same week with corrections off: what is learned must stay the same.

Both begin with three days of recorded history without any correction. From then on replicas are raised ahead of the
rush and given back, at other times and by other figures every day; every request and all noise is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from support.correcting import HPA, original, spec, state
from support.virtual_shop import PER_DAY, STEP, ForecastInput, run
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import CorrectionMode
from twinops.core.assess.censoring import calibration_excluded
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.recorded import Recorded
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.core.metrics.censoring import lower_bounds
from twinops.core.observation import Sample
from twinops.core.series import Series
from twinops.core.state import TwinState

HISTORY_DAYS, DAYS = 3, 7
LIMITS = {"cpuUsage": 65.0, "throughputRps": 600.0, "latencyMs": 60.0}
DEMAND = ("cpuUsage", "throughputRps")
AS_SEEN = {"cpuAsSeen": "cpuUsage", "latencyAsSeen": "latencyMs"}
"""The same values once more, per pod and never left out: what a twin without all this would learn from."""
TWIN = spec()
HORIZONS = TWIN.predictions.horizons_seconds
CLOSE = 0.05


@dataclass(frozen=True)
class Week:
    """What the twin made of it, sync by sync.

    Attributes:
        bent: the metrics that nothing was to be learned from, as the operator says.
    """

    moments: Sequence[ForecastInput]
    forecast_results: Sequence[ForecastResult]
    bent: Sequence[Collection[str]]

    def skill(self, metric: str) -> Skill:
        return next(skill for skill in self.forecast_results[-1].skills if skill.metric == metric)

    def error(self, metric: str) -> float:
        error = self.skill(metric).error
        assert error is not None
        return error

    def reliability(self, metric: str) -> float:
        """Return the mean distance of probability and frequency in ten equal bins, mean over the horizons."""
        return float(np.mean([self._reliability(metric, horizon) for horizon in range(len(HORIZONS))]))

    def _reliability(self, metric: str, horizon: int) -> float:
        steps = HORIZONS[horizon] // STEP
        beyond = np.array([moment.values[metric] > LIMITS[metric] for moment in self.moments])
        bent = np.array([metric in one for one in self.bent])
        judged = [at for at in range(len(beyond) - steps) if not bent[at : at + steps + 1].any()]
        assert len(judged) > PER_DAY
        said = np.array([self.forecast_results[at].exceedance[metric][horizon] for at in judged])
        came = np.array([beyond[at + 1 : at + 1 + steps].any() for at in judged])
        order = np.argsort(said, kind="stable")
        bins = zip(np.array_split(said[order], 10), np.array_split(came[order], 10), strict=True)
        return float(sum(len(one) * abs(one.mean() - other.mean()) for one, other in bins)) / len(said)


def live(*, corrected: bool) -> Week:
    """Let a twin live through the week, as the operator feeds it."""
    moments = run(HISTORY_DAYS + DAYS, corrected_from=HISTORY_DAYS if corrected else None)
    past, week = moments[: HISTORY_DAYS * PER_DAY], moments[HISTORY_DAYS * PER_DAY :]
    memory = Forecaster((*LIMITS, *AS_SEEN), STEP, HORIZONS)
    memory.learn(
        {metric: recorded(past, [seen(moment)[metric] for moment in past]) for metric in memory.metrics},
        limits=LIMITS,
        replicas=recorded(past, [moment.ready for moment in past]),
    )
    last, forecast_results, bent = state(), [], []
    for moment in week:
        last = after(last, moment)
        bent.append(calibration_excluded(TWIN, last, moment.now))
        samples = {metric: Sample(metric, Quality.GOOD, value) for metric, value in moment.values.items()}
        forecast_results.append(
            memory.observe(
                moment.now,
                seen(moment),
                limits=LIMITS,
                replicas=moment.ready,
                calibration_excluded=bent[-1],
                censored=lower_bounds(samples),
            )
        )
    return Week(week, forecast_results, bent)


def seen(moment: ForecastInput) -> dict[str, float]:
    values = {metric: moment.values[metric] for metric in LIMITS}
    return values | {copy: moment.values[metric] for copy, metric in AS_SEEN.items()}


def recorded(moments: Sequence[ForecastInput], values: Sequence[float]) -> Recorded:
    times = np.array([moment.now for moment in moments])
    return Recorded(Series(times, np.array(values, dtype=float), float(STEP)))


def after(last: TwinState, moment: ForecastInput) -> TwinState:
    """Return the state as the operator leaves it for this sync."""
    if moment.held:
        return last if last.saved_values else state(originals=[original()])
    if not moment.released:
        return last
    given_back = CorrectionRecord(
        id="release",
        time=utc(moment.now),
        action=CorrectionAction.GIVE_BACK,
        mode=CorrectionMode.APPLY,
        object=HPA,
        field="spec.minReplicas",
        trigger="NeedPassed",
        why="",
        outcome=Outcome.APPLIED,
        outcome_time=utc(moment.now),
    )
    return state(corrections=[given_back])


@pytest.fixture(scope="module")
def off() -> Week:
    return live(corrected=False)


@pytest.fixture(scope="module")
def on() -> Week:
    return live(corrected=True)


def test_corrections_do_bend_what_is_seen(off: Week, on: Week) -> None:
    for metric in ("cpuUsage", "latencyMs"):
        means = [np.mean([moment.values[metric] for moment in week.moments]) for week in (off, on)]
        assert means[1] < 0.95 * means[0]
    share = np.mean([moment.held for moment in on.moments])
    assert 0.2 < share < np.mean(["latencyMs" in one for one in on.bent]) < 0.4


@pytest.mark.parametrize("metric", DEMAND)
def test_demand_goes_on_being_scored(metric: str, off: Week, on: Week) -> None:
    assert on.skill(metric).checks == off.skill(metric).checks


def test_what_is_bent_is_not_scored(off: Week, on: Week) -> None:
    left_out = sum("latencyMs" in one for one in on.bent)

    assert on.skill("latencyMs").checks == pytest.approx(off.skill("latencyMs").checks - left_out, abs=1)


@pytest.mark.parametrize("metric", LIMITS)
def test_skill_stays(metric: str, off: Week, on: Week) -> None:
    assert on.error(metric) == pytest.approx(off.error(metric), abs=CLOSE)
    assert on.skill(metric).coverage == pytest.approx(off.skill(metric).coverage, abs=CLOSE)


@pytest.mark.parametrize("metric", LIMITS)
def test_reliability_of_risks_stays(metric: str, off: Week, on: Week) -> None:
    assert on.reliability(metric) == pytest.approx(off.reliability(metric), abs=CLOSE)


@pytest.mark.parametrize("metric", AS_SEEN)
def test_without_demand_and_censoring_skill_would_not_stay(metric: str, off: Week, on: Week) -> None:
    """Else the tests above would prove nothing."""
    assert on.error(metric) > off.error(metric) + 2 * CLOSE
