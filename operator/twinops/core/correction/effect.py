"""Whether more replicas have helped: no further step on a metric that did not answer to the last one.

A correction is a control loop, and one without feedback runs to its bound. So of every driving metric that asks for
more replicas than there are its last value is kept; once there are more, whoever added them, the first three samples
tell what came of it. The measure is the fall in proportion to what each pod has to do: of 90 % CPU on three pods that
become four, 22.5 points. Load that grows meanwhile uses the relief up; where a metric tells it, only samples count at
which half of the relief is left. Where nothing tells it, CPU has had its effect if any of the three shows it, for load
may have used it up by the next one; latency on average, for it is noisy.

A metric that did not answer asks for no more until the need is another one: the spec has changed, what was raised has
been given back, or each pod has as much to do again as before the step. Of latency that is not enough, for what a
dependency costs does not depend on it: it must also be worse than it was.

Where latency did answer, the step says something of the way down, too, on which latency itself says nothing: a load
that was too much for so few pods still is, and what was raised is kept while it lasts. Else it would be given back as
soon as it helps, and raised again.

The load that is offered itself (throughput) never answers: replicas do not lower it. Without a limit per replica it is
good for one step; with one, replicas are counted from it, and nothing of this is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.twin.corrections import ReplicaStep
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.debounce import is_new
from twinops.core.correction.need import Demand
from twinops.core.correction.records import held_by
from twinops.core.correction.restore import NEED_PASSED
from twinops.core.correction.sizing import Hold, Reckoning, ceil
from twinops.core.observation import Observation
from twinops.core.state import TwinState
from twinops.metric_definitions import CPU, LATENCY, THROUGHPUT, definition

SAMPLES = 3
"""Samples that an effect is judged by."""

SETTLE_SECONDS = 60.0
"""Time that new pods have to take their part of the load before a sample counts, and a whole window of the query."""

ENOUGH_SECONDS = 600.0
"""After so long fewer will do: at long intervals three take hours."""

SHARE = 0.4
"""Of the fall in proportion to what each pod has to do, so much must have come on average."""

LEFT = 0.5
"""A sample tells while so much is left of the relief that the pods have brought."""

AT_ONCE = 0.4
"""So much in a single sample, where only the best one tells."""

WORSE = 1.2
"""A value that is so many times what it was before a step without effect is another need."""

SAME_LOAD = 0.9
"""From this share of it on the load of a step counts as still there."""

KEEP_SECONDS = 6 * 3600.0
"""How long a load keeps what was raised; after that it is tried whether fewer will do by now."""

KEEP_UNKNOWN_SECONDS = 3600.0
"""Likewise where nothing tells the load; twice as long for each time that it was tried, as far as status tells."""

SMOOTH = 0.5
"""Part of the newest value in what latency was before a step: single values of it say little."""

FORGET_SECONDS = 600.0
"""A metric that has asked for nothing for so long, and two intervals, and holds nothing, may begin anew."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What is known of all driving metrics.

    Attributes:
        steps: for status.
        stopped: by metric, why it asks for no more than there are.
        capped: metrics that are not recommended more replicas for than are asked for now. CPU is while it is not known
            yet: its formula does not go up by itself.
        kept: by metric, replicas that the load still needs of those that are there.
    """

    steps: tuple[ReplicaStep, ...]
    stopped: Mapping[str, Hold]
    capped: frozenset[str]
    kept: Mapping[str, int]


_NONE = Effects((), {}, frozenset(), {})


def follow(spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand) -> Effects:
    """Take in one sync.

    Args:
        spec: the twin's spec.
        observation: what this sync has seen.
        state: the one before, earlier decisions settled.
        demand: what is needed.
    """
    reckoning = Reckoning(spec, observation)
    known = {
        step.metric: step
        for step in state.replica_steps
        if step.generation == state.observed_generation and not reckoning.offered(step.metric)
    }
    asked = {
        metric
        for metric, replicas in demand.asks().items()
        if replicas > reckoning.ready and not reckoning.offered(metric)
    }
    if not known and not asked:
        return _NONE
    held = held_by(state)
    tried = sum(record.trigger == NEED_PASSED for record in state.corrections)
    steps: list[ReplicaStep] = []
    stopped: dict[str, Hold] = {}
    kept: dict[str, int] = {}
    for metric in sorted({*known, *asked}):
        now = _Now.of(reckoning, metric, demand, asked=metric in asked, tried=tried)
        step = now.take_in(known.get(metric), state.observed_generation, held=metric in held)
        if step is not None:
            steps.append(step)
            if hold := now.verdict(step):
                stopped[metric] = hold
            if replicas := now.kept(step):
                kept[metric] = replicas
    capped = frozenset(metric for metric, hold in stopped.items() if hold.blocked or metric != CPU)
    return Effects(tuple(steps), stopped, capped, kept)


@dataclass(frozen=True, slots=True)
class _Now:
    """One metric at one sync.

    Attributes:
        value: None where no real, fresh one is known; so with pods.
        asked: whether it asks for more replicas than there are.
        beyond: whether the value itself lies beyond the goal.
        tried: how often what was raised has been given back because it was not needed any more.
        forget: seconds after which a metric that has asked for nothing may begin anew.
    """

    metric: str
    time: float
    window: float
    value: float | None
    sampled: float
    pods: int | None
    load: tuple[float, str] | None
    asked: bool
    beyond: bool
    tried: int
    forget: float

    @classmethod
    def of(cls, reckoning: Reckoning, metric: str, demand: Demand, *, asked: bool, tried: int) -> _Now:
        seen = reckoning.observation
        sample = seen.samples.get(metric)
        return cls(
            metric=metric,
            time=seen.now,
            window=max(SETTLE_SECONDS, seen.windows.get(metric, 0.0)),
            value=reckoning.value(metric),
            sampled=seen.now if sample is None or sample.time is None else sample.time,
            pods=reckoning.pods(metric),
            load=reckoning.load(metric),
            asked=asked,
            beyond=metric in demand.standing or any(n.beyond for n in demand.needs if n.metric == metric),
            tried=tried,
            forget=max(FORGET_SECONDS, 2 * reckoning.spec.sync_frequency_seconds),
        )

    def take_in(self, step: ReplicaStep | None, generation: int, *, held: bool) -> ReplicaStep | None:
        """Return what is known of the metric after this sync, None when there is nothing to remember."""
        if self.value is None or self.pods is None:
            return step
        if step is None:
            return self._begun(generation) if self.asked else None
        if not held and not self.kept(step) and self.time - step.asked.timestamp() > self.forget:
            # It may have had no value all the time, so that nobody has seen it ask for nothing.
            return self._begun(generation) if self.asked else None
        if self.asked:
            step = step.model_copy(update={"asked": utc(self.time)})
        if self.pods <= step.replicas:
            # None came, or they are gone again: what is seen now is what the next ones are measured by.
            return self._newer(step, generation)
        if step.grown is None:
            step = step.model_copy(update={"grown": utc(self.time)})
        if self.asked and self._answered(step):
            return self._begun(generation)
        return self._counted(step)

    def _newer(self, step: ReplicaStep, generation: int) -> ReplicaStep:
        """Return the step as of before there were more pods."""
        if not self.asked:
            return step.model_copy(update={"grown": None, "effects": []})
        new = self._begun(generation)
        if self.metric != LATENCY or step.grown is not None or step.replicas != new.replicas:
            return new
        update: dict[str, float] = {"value": (1 - SMOOTH) * step.value + SMOOTH * new.value}
        if new.load is not None and step.load is not None and step.load_metric == new.load_metric:
            update["load"] = (1 - SMOOTH) * step.load + SMOOTH * new.load
        return new.model_copy(update=update)

    def _begun(self, generation: int) -> ReplicaStep:
        load, load_metric = self.load or (None, "")
        return ReplicaStep(
            metric=self.metric,
            generation=generation,
            replicas=self.pods or 0,
            value=self.value or 0.0,
            beyond=self.beyond,
            load=load,
            load_metric=load_metric,
            asked=utc(self.time),
        )

    def _counted(self, step: ReplicaStep) -> ReplicaStep:
        """Return the step with this sample in it, where it is one of those that tell."""
        begin = 0.0 if step.grown is None else step.grown.timestamp() + self.window
        if len(step.effects) >= SAMPLES or self.sampled < begin or not is_new(step.last_data_time, self.sampled):
            return step
        relief, brought = 1 - self._each(step), 1 - step.replicas / (self.pods or 1)
        if relief < LEFT * brought:
            return step
        fall = step.value * relief
        share = (step.value - (self.value or 0.0)) / fall if fall > 0 else 0.0
        effect = round(min(max(share, -9.0), 9.0), 3) if math.isfinite(share) else 0.0
        return step.model_copy(update={"effects": [*step.effects, effect], "last_data_time": utc(self.sampled)})

    def _growth(self, step: ReplicaStep) -> float | None:
        """Return how many times the load of before the step there is now, None where nothing tells."""
        if self.load is None or not step.load or step.load_metric != self.load[1]:
            return None
        return self.load[0] / step.load

    def _each(self, step: ReplicaStep) -> float:
        """Return how many times as much as before the step each pod has to do, at the same load where nothing tells."""
        growth = self._growth(step)
        return (1.0 if growth is None else growth) * step.replicas / (self.pods or 1)

    def kept(self, step: ReplicaStep) -> int:
        """Return how many of the present pods the load still needs as far as this step tells, 0 where it does not."""
        since = self.time - step.asked.timestamp()
        if self.metric != LATENCY or not self.pods or self.pods <= step.replicas or not _effective(step, self.time):
            return 0
        growth = self._growth(step)
        if growth is None:
            return step.replicas + 1 if since < KEEP_UNKNOWN_SECONDS * 2**self.tried else 0
        share = growth / SAME_LOAD
        return min(self.pods, ceil(step.replicas * share)) if share >= 1 and since < KEEP_SECONDS else 0

    def _answered(self, step: ReplicaStep) -> bool:
        """Tell whether a further step may be taken."""
        return _effective(step, self.time) is True or self._another_need(step)

    def _another_need(self, step: ReplicaStep) -> bool:
        """Tell whether the metric asks for something else than it did when a step has had no effect."""
        if self.metric == THROUGHPUT or _effective(step, self.time) is None or self.value is None or not self.pods:
            return False
        if self._growth(step) is not None:
            worse = self.metric == CPU or self.value >= WORSE * step.value
            return worse and self._each(step) >= 1
        if self.metric == LATENCY:
            # Without the load nothing tells a workload that has too much to do from a dependency that gets slower.
            return self.beyond and not step.beyond
        return self.value >= max(self.pods / max(step.replicas, 1), WORSE) * step.value

    def verdict(self, step: ReplicaStep) -> Hold | None:
        """Return why there is no further step, None where there may be one."""
        if step.grown is None:
            return None
        word, pods = definition(self.metric).word, f"{step.replicas} to {self.pods} pods"
        effective = _effective(step, self.time)
        if effective is None:
            seen = f"{len(step.effects)} of {SAMPLES} samples"
            return Hold("Verifying", f"whether going from {pods} has lowered {word} is not known yet: {seen}")
        if effective:
            return None
        show = definition(self.metric).show
        then, now = show(step.value), "unknown now" if self.value is None else f"{show(self.value)} now"
        return Hold(
            "NoEffect",
            f"going from {pods} has not lowered {word} ({then} before, {now}): no further replicas for it. "
            f"{definition(self.metric).advice.no_effect}",
            blocked=True,
        )


def _effective(step: ReplicaStep, now: float) -> bool | None:
    """Tell whether the step has had an effect, None while that is not known."""
    if step.metric == THROUGHPUT:
        return False
    seen: Sequence[float] = step.effects
    long_ago = step.grown is not None and now - step.grown.timestamp() >= ENOUGH_SECONDS
    if not seen and long_ago:
        # Load has used up at once what the pods have brought. CPU is shared all the same; of latency nothing is shown.
        return step.metric == CPU
    if len(seen) < (1 if long_ago else SAMPLES):
        return None
    if step.metric == CPU and step.load is None:
        return max(seen) >= AT_ONCE
    return sum(seen) / len(seen) >= SHARE
