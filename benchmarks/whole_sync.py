"""CPU time of whole syncs of many twins in steady state, without I/O, by part."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping

import numpy as np

from twinops.api.references import TargetRef
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import limits_in_force
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.recorded import Recorded
from twinops.core.observation import Observation, Sample, Workload
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.diff import is_material
from twinops.core.status.render import blocked_by, render_synced
from twinops.core.twin import step

_WARM_UP = 10
"""Rounds before the clock starts, so that conditions have settled and memory is allocated."""
_ROUNDS = 30
"""Rounds that are counted: with one a minute, six new fine cells and two new coarse ones begin in them."""
PARTS = ("observe", "step", "render", "is_material", "to_wire")


def whole_sync(
    past: Mapping[str, Recorded], interval: float, limits: Mapping[str, float], twins: int
) -> dict[str, float]:
    """Return milliseconds of CPU a sync, by part, as means over all twins and rounds.

    Args:
        past: recorded history by metric, which every twin has learned from.
        interval: seconds between two syncs.
        limits: by metric.
        twins: how many are synced in turn, so that one finds nothing of the round before in the processor's caches.
    """
    spec = DigitalTwinSpec.from_wire(
        {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}, "limits": dict(limits)}
    )
    target = Workload(TargetRef(name="checkout"), uid="uid", ready=3, desired=3)
    metrics = tuple(past)
    learned = Forecaster(metrics, interval, spec.predictions.horizons_seconds, learned=True)
    learned.learn(past, limits=limits)
    if learned.newest is None:
        raise AssertionError("it has learned")
    forecasters = [copy.deepcopy(learned) for _ in range(twins)]
    statuses = [DigitalTwinStatus() for _ in range(twins)]
    rng = np.random.default_rng(2)
    spent = np.zeros(len(PARTS))
    for k in range(_WARM_UP + _ROUNDS):
        now = (learned.newest + 1 + k) * interval
        values = (50 + rng.normal(0, 4, (twins, len(metrics)))).tolist()
        for place, row in enumerate(values):
            samples = {
                name: Sample(name, Quality.GOOD, value, "%", now, query="Custom")
                for name, value in zip(metrics, row, strict=True)
            }
            statuses[place], times = _sync(spec, forecasters[place], statuses[place], now, samples, target)
            if k >= _WARM_UP:
                spent += np.diff(times)
    each = (1000 * spent / (twins * _ROUNDS)).tolist()
    return {"all": sum(each), **dict(zip(PARTS, each, strict=True))}


def _sync(
    spec: DigitalTwinSpec,
    forecaster: Forecaster,
    before: DigitalTwinStatus,
    now: float,
    samples: Mapping[str, Sample],
    target: Workload,
) -> tuple[DigitalTwinStatus, list[float]]:
    """Sync once as the operator does; return the status, and the CPU time before the first part and after each."""
    times = [time.process_time()]
    values = {name: sample.value for name, sample in samples.items()}
    in_force = limits_in_force(spec, target)
    result = forecaster.observe(now, values, limits=in_force, replicas=target.ready)
    times.append(time.process_time())
    observation = Observation(now, samples, result, limits=in_force, workload=target)
    done = step(spec, TwinState.from_status(before), observation, generation=1)
    times.append(time.process_time())
    base = done.state.to_status(before)
    blocked = blocked_by(done.decision, base.corrections)
    status = render_synced(base, spec, Sync(1, now, None), observation, done.assessment, {}, blocked)
    times.append(time.process_time())
    is_material(before, status, limits=spec.limits, expected=spec.expected_state.metrics)
    times.append(time.process_time())
    status.to_wire()
    times.append(time.process_time())
    return status, times
