"""A twin without Kubernetes: a forecaster, a state, and one call per sync."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.assessment import limits_in_force
from twinops.core.assess.availability import GRACE_SECONDS
from twinops.core.assess.censoring import calibration_excluded, risk_excluded
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.lever import Lever
from twinops.core.observation import NOTHING_HELD, Held, Observation, Sample, Workload
from twinops.core.state import TwinState
from twinops.core.twin import Step, step


class TwinEngine:
    """One twin whose metrics are handed in. No I/O and no clock.

    Args:
        spec: the twin's.
        forecaster: learns the twin's metrics. It may have learned from recorded history before.
        state: that the sync before the first one left.
        generation: of the spec.
        grace_seconds: how long a last verdict stands without anything new behind it.
        corrections: whether to decide about corrections.

    Attributes:
        spec: may be replaced between two syncs, and ``generation`` with it.
        forecaster: may be replaced between two syncs.
        state: that the last sync left. Whoever carries a correction out puts the state with its outcome here.
    """

    def __init__(
        self,
        spec: DigitalTwinSpec,
        forecaster: Forecaster,
        state: TwinState | None = None,
        *,
        generation: int = 1,
        grace_seconds: float = GRACE_SECONDS,
        corrections: bool = True,
    ) -> None:
        self.spec = spec
        self.forecaster = forecaster
        self.state = TwinState() if state is None else state
        self.generation = generation
        self._grace = grace_seconds
        self._corrections = corrections

    def sync(
        self,
        now: float,
        samples: Mapping[str, Sample],
        *,
        workload: Workload | None = None,
        limits: Mapping[str, float] | None = None,
        replicas: int | None = None,
        censored: Collection[str] = (),
        lever: Lever | None = None,
        held: Held = NOTHING_HELD,
    ) -> Step:
        """Take in what was seen, and judge it. The state in the answer is kept for the next sync.

        Args:
            now: Unix seconds.
            samples: the answer for each metric.
            workload: the target as it is now, None where there is none.
            limits: in force now, by metric; by default those of the spec for this workload.
            replicas: pods that the metrics per pod are means over; None where that is not known.
            censored: metrics whose value is only a lower bound.
            lever: what a correction may write to, None where there is nothing.
            held: what earlier corrections have written, as it is now.
        """
        spec, state = self.spec, self.state
        in_force = limits_in_force(spec, workload) if limits is None else limits
        forecast_result = self.forecaster.observe(
            now,
            {name: sample.value for name, sample in samples.items() if sample.actionable},
            limits=in_force,
            replicas=replicas,
            calibration_excluded=calibration_excluded(spec, state, now),
            risk_excluded=risk_excluded(spec, state, now),
            censored=censored,
        )
        observation = Observation(
            now=now,
            samples=samples,
            limits=in_force,
            forecast_result=forecast_result,
            workload=workload,
            lever=lever,
            held=held,
        )
        done = step(
            spec,
            state,
            observation,
            generation=self.generation,
            grace_seconds=self._grace,
            corrections=self._corrections,
        )
        self.state = done.state
        return done
