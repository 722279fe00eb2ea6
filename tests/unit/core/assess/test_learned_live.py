"""A learned baseline from its syncs to the alerts of the twin: what is told, how soon, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from support.baseline_series import DAY, START, STEP, Floats, daily
from twinops.api.twin.drift import Direction, Drift, DriftAlert
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.drift import assess_drift
from twinops.core.baseline.estimate import TwinBaseline
from twinops.core.observation import Sample
from twinops.core.series import Series

BEGIN = START * STEP
LEARNED_DAYS = 10
HOUR = 12
NOON = 12 * HOUR
"""Slots after midnight: the workday of these series lasts from nine to five."""


def twin(**more: Any) -> DigitalTwinSpec:
    spec = {
        "source": {"systemType": "WebService"},
        "syncFrequencySeconds": 300,
        "expectedState": {"learned": True},
    }
    return DigitalTwinSpec.from_wire(spec | more)


@dataclass(frozen=True)
class Life:
    """What a twin said, sync by sync, each one slot after the other."""

    drifts: Sequence[Drift]

    def alerts(self, *, harmless: bool = False) -> list[tuple[int, DriftAlert]]:
        return [
            (place, alert)
            for place, drift in enumerate(self.drifts)
            for alert in drift.alerts
            if alert.harmless is harmless
        ]

    @property
    def changes(self) -> int:
        told = [drift.detected for drift in self.drifts]
        return sum(one != other for one, other in pairwise(told))


def live(values: Floats, metric: str = "latencyMs", spec: DigitalTwinSpec | None = None, learned: int = 0) -> Life:
    """Let a twin learn the first days at once, and live through the others."""
    spec = spec or twin()
    past, rest = values[: learned * DAY], values[learned * DAY :]
    baseline = TwinBaseline([metric], STEP)
    now = BEGIN + STEP * len(past)
    if len(past):
        times: Floats = BEGIN + STEP * np.arange(len(past), dtype=np.float64)
        baseline.learn({metric: Series(times, past, STEP)}, now)
    drift, drifts = Drift(), []
    for place, value in enumerate(rest.tolist()):
        at = now + STEP * place
        known: Mapping[str, float | None] = {metric: value if np.isfinite(value) else None}
        baselines = baseline.observe(at, known)
        quality = Quality.GOOD if known[metric] is not None else Quality.MISSING
        drift = assess_drift(
            spec, {metric: Sample(metric, quality, known[metric], time=at)}, baselines, None, drift, at
        )
        drift = Drift.from_wire(drift.to_wire())
        drifts.append(drift)
    return Life(drifts)


def spiked(values: Floats) -> Floats:
    values[NOON] += 40
    return values


def shifted(values: Floats) -> Floats:
    values[NOON : NOON + 6 * HOUR] += 40
    return values


def flat(values: Floats) -> Floats:
    values[NOON : NOON + 8 * HOUR] = values[NOON]
    return values


def restless(values: Floats) -> Floats:
    values[NOON : NOON + 4 * HOUR] += np.random.default_rng(3).normal(0, 8, 4 * HOUR)
    return values


def without_a_workday(values: Floats) -> Floats:
    return np.where(values > 40, values - 40, values)


def at_night(values: Floats) -> Floats:
    values[HOUR : 3 * HOUR] += 40
    return values


@pytest.mark.parametrize(
    ("change", "metric", "direction", "begin", "within_hours", "gone_hours"),
    [
        pytest.param(spiked, "latencyMs", Direction.ABOVE, NOON, 0.1, 1, id="spike"),
        pytest.param(shifted, "latencyMs", Direction.ABOVE, NOON, 0.1, 10, id="level shift of six hours"),
        pytest.param(at_night, "latencyMs", Direction.ABOVE, HOUR, 0.1, 6, id="by night what is normal by day"),
        pytest.param(
            without_a_workday, "throughputRps", Direction.BELOW, 9 * HOUR, 0.5, 12, id="changed shape: no workday"
        ),
        pytest.param(flat, "latencyMs", Direction.DIFFERENT, NOON, 3, 10, id="flat line"),
        pytest.param(restless, "latencyMs", None, NOON, 2, 10, id="increased variance"),
    ],
)
def test_anomaly_is_told_in_time_and_goes_away(
    change: Callable[[Floats], Floats],
    metric: str,
    direction: Direction | None,
    begin: int,
    within_hours: float,
    gone_hours: float,
) -> None:
    values = daily(14)
    start = LEARNED_DAYS * DAY
    values[start : start + DAY] = change(values[start : start + DAY].copy())
    life = live(values, metric, learned=LEARNED_DAYS)
    told = life.alerts()
    assert told
    first, alert = told[0]
    assert begin < first <= begin + within_hours * HOUR + 1
    assert direction in (None, alert.direction)
    assert alert.learned
    # A statistic may look back over hours, but never to before the day on which it happened.
    assert alert.since.timestamp() >= BEGIN + STEP * (start + begin - 6 * HOUR)
    assert "since" in alert.recommendation
    assert told[-1][0] < begin + gone_hours * HOUR
    # It comes once, and does not come and go.
    assert life.changes <= 2


def test_two_quiet_weeks_are_quiet() -> None:
    assert live(daily(15), learned=1).alerts() == []


def test_nothing_is_told_while_it_learns() -> None:
    values = daily(1)
    values[NOON:] *= 3
    drifts = live(values[: DAY - 1]).drifts
    assert all(drift == Drift() for drift in drifts)


def test_alert_stands_through_missing_values_and_is_not_eligible_meanwhile() -> None:
    values = daily(11)
    values[LEARNED_DAYS * DAY + NOON :] += 60
    values[LEARNED_DAYS * DAY + NOON + 6 : LEARNED_DAYS * DAY + NOON + 12] = np.nan
    drifts = live(values, learned=LEARNED_DAYS).drifts
    (seen,), (unseen,), (again,) = (drifts[NOON + place].alerts for place in (5, 8, 16))
    assert seen.eligible
    assert not unseen.eligible
    assert "no fresh value" in unseen.not_eligible_reason
    assert again.eligible
    assert seen.since == unseen.since == again.since


def test_alert_of_a_lasting_shift_says_what_was_expected() -> None:
    values = daily(11)
    values[LEARNED_DAYS * DAY + NOON :] += 60
    drifts = live(values, learned=LEARNED_DAYS).drifts
    (alert,) = drifts[NOON + 4].alerts
    assert alert.persistent
    assert alert.eligible
    assert alert.actual.endswith(" ms")
    low, high = (float(part.removesuffix(" ms")) for part in alert.expected.split(" to "))
    assert 50 < low < 60 < high < 70
    assert alert.recommendation.startswith("Latency is 1")
    assert "what is normal for this hour" in alert.recommendation
    assert ", since 12:00 UTC: scale out" in alert.recommendation
