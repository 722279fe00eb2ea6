"""Hypothesis strategies: observations and states of the twin of ``checkout``, as a sync may meet them."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from support.correcting import HPA, KUBECTL, NOW, OURS, SCALE, alert, hpa, original, risk, scale, spec, workload
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Fight, Original, Outcome, StartUp
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.assess.assessment import limits_in_force
from twinops.core.forecast.horizon import QUANTILES, HorizonForecast
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.core.lever import Lever, LeverKey
from twinops.core.observation import Held, Observation, Pod, Sample
from twinops.core.rights import Refusal, RefusalReason
from twinops.core.state import TwinState

METRICS = ("cpuUsage", "latencyMs", "throughputRps")
EDGES = {"cpuUsage": 95.0, "latencyMs": 500.0}
EXPECTED = {"metrics": {"cpuUsage": 50, "latencyMs": 100}}
REFUSED = Refusal(RefusalReason.FORBIDDEN, "the operator may not read it")
FIELDS = {HPA: "spec.minReplicas", SCALE: "spec.replicas"}

ages = st.integers(0, 7200)
times = ages.map(lambda age: utc(NOW - age))
replicas = st.integers(1, 9)


def specs() -> st.SearchStrategy[DigitalTwinSpec]:
    bounds = {"minReplicas": 1, "maxReplicas": 12}
    corrections = st.sampled_from(
        [{}, {"mode": "Preview"}, {"enabled": False}, {"bounds": bounds}, {"ownershipPolicy": "Force"}]
    )
    return st.builds(
        lambda correction, suspend: spec(correction, limits=EDGES, expectedState=EXPECTED, suspend=suspend),
        corrections,
        st.sampled_from([False, False, False, True]),
    )


def samples(metric: str) -> st.SearchStrategy[Sample]:
    good = st.builds(
        lambda value, age: Sample(metric, Quality.GOOD, float(value), "x", NOW - age),
        st.integers(0, 900),
        st.integers(0, 30),
    )
    missing = st.sampled_from([Quality.MISSING, Quality.STALE, Quality.ERROR, Quality.EMPTY]).map(
        lambda quality: Sample(metric, quality, reason="NoSuchSeries", message="none")
    )
    bounded = st.integers(0, 900).map(
        lambda least: Sample(metric, Quality.BOUNDED, time=NOW, least=float(least), message="bounds")
    )
    return st.one_of(good, good, good, missing, bounded)


def levers() -> st.SearchStrategy[Lever | None]:
    owners = st.sampled_from([(), (KUBECTL,), (OURS,)])
    made = st.builds(lambda make, value, who: make(value, *who), st.sampled_from([hpa, hpa, scale]), replicas, owners)
    return st.one_of(made, made, st.none())


def records(number: int) -> st.SearchStrategy[CorrectionRecord]:
    return st.builds(
        lambda **given: CorrectionRecord(field=FIELDS[given["object"]], why="why", from_=1, **given),
        id=st.just(f"record-{number}"),
        time=times,
        action=st.sampled_from(CorrectionAction),
        mode=st.just(CorrectionMode.APPLY),
        object=st.sampled_from([HPA, SCALE]),
        to=replicas,
        trigger=st.sampled_from(["Risk/cpuUsage", "Drift/latencyMs", "NeedPassed"]),
        outcome=st.sampled_from(Outcome),
        outcome_time=st.one_of(st.none(), times),
        retry_time=st.one_of(st.none(), st.integers(-60, 600).map(lambda seconds: utc(NOW + seconds))),
    )


def originals() -> st.SearchStrategy[list[Original]]:
    one = st.builds(
        lambda reference, ours: original(2, ours=ours, object=reference, field=FIELDS[reference]),
        st.sampled_from([HPA, SCALE]),
        st.one_of(st.none(), st.integers(3, 9)),
    )
    return st.lists(one, max_size=2, unique_by=lambda each: each.object.kind)


def states() -> st.SearchStrategy[TwinState]:
    observed = [ObservedMetric(name=name, quality=Quality.GOOD, value=50.0, time=utc(NOW - 60)) for name in METRICS]
    unseen = [ObservedMetric(name=name, quality=Quality.STALE, unseen_since=utc(NOW - 90)) for name in METRICS]
    return st.builds(
        TwinState,
        observed_generation=st.integers(-1, 2),
        last_sync_time=st.one_of(st.none(), times),
        observed=st.sampled_from([(), tuple(observed), tuple(unseen)]),
        risks=st.sampled_from([(), (risk(recent="0011"),)]),
        drift=st.sampled_from(
            [Drift(), Drift(detected=True, alerts=[alert("latencyMs", recent="0111")], unknown=["cpuUsage"])]
        ),
        restart_state=st.sampled_from(["", "packed"]),
        recommended_replicas=st.one_of(st.none(), replicas),
        need_below_since=st.one_of(st.none(), times),
        corrections=st.integers(0, 4).flatmap(lambda count: st.tuples(*(records(number) for number in range(count)))),
        saved_values=originals().map(tuple),
        start_up=st.sampled_from([None, StartUp(since=utc(NOW - 90), changed=utc(NOW - 90), last=utc(NOW - 60))]),
        fight=st.sampled_from([None, Fight(manager="argo", generation=1, cycles=1, until=utc(NOW + 60))]),
    )


def _observation(
    now: float, seen: tuple[Sample, ...], ready: int | None, pods: tuple[Pod, ...] | None, foreseen: int, **more: Any
) -> Observation:
    target = None if ready is None else dataclasses.replace(workload(ready), pods=pods)
    quantiles = tuple(foreseen + level for level in QUANTILES)
    ahead = HorizonForecast(900, quantiles, 0.5, 100, calibrated=True)
    # As of now, however many syncs there were before.
    fresh = {each.metric: dataclasses.replace(each, time=each.time and each.time + now - NOW) for each in seen}
    return Observation(
        now=now,
        samples=fresh,
        forecast_result=ForecastResult(
            forecasts={"cpuUsage": (ahead,)},
            exceedance={"cpuUsage": (0.8,)},
            skills=(Skill("cpuUsage", 0.7, 0.9, 1.0, 100, state="packed"),),
            samples=dict.fromkeys(fresh, 500),
        ),
        limits=limits_in_force(spec(limits=EDGES), target),
        workload=target,
        **more,
    )


def observations(now: float = NOW) -> st.SearchStrategy[Observation]:
    held: st.SearchStrategy[dict[LeverKey, Lever]] = st.lists(levers(), max_size=2).map(
        lambda found: {lever.key: lever for lever in found if lever is not None}
    )
    starting = (Pod("new", NOW - 30, None),)
    return st.builds(
        _observation,
        now=st.just(now),
        seen=st.tuples(*(samples(metric) for metric in METRICS)),
        ready=st.one_of(st.integers(0, 9), st.none()),
        pods=st.sampled_from([None, (Pod("old", NOW - 3600, NOW - 3500),), starting]),
        foreseen=st.integers(0, 200),
        lever=levers(),
        no_lever_reason=st.sampled_from(["NoTarget", "Forbidden", "LeverUnavailable"]),
        held=st.builds(Held, held, refusal=st.sampled_from([None, None, None, REFUSED])),
        rival=st.sampled_from(["", "", "older"]),
    )
