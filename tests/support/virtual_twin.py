"""A workload, its HPA and a twin that corrects it, in virtual time, on the real step."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from support.correcting import KUBECTL, NOW, OURS, hpa
from twinops.api.references import TargetRef
from twinops.api.twin.corrections import CorrectionAction
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import limits_in_force
from twinops.core.correction.decide import Decision
from twinops.core.correction.outcome import raised, restored
from twinops.core.correction.records import pending
from twinops.core.observation import Held, Observation, Pod, Sample, Workload
from twinops.core.state import TwinState
from twinops.core.twin import step

EACH = 100.0
"""Requests per second that fill one replica."""
WINDOW = 60.0
Quantity = Callable[[float], float]
"""Of the seconds since the beginning."""


@dataclass
class World:
    """What the workload is like.

    Attributes:
        load: requests per second that are offered.
        busy: CPU of a pod without any request, percent.
        dependency: milliseconds that a request waits for somebody else.
        start_seconds: from a pod's start until it is ready.
        start_cpu: percent that a pod uses until a minute after it is ready.
        noise: standard deviation of what is measured, relative.
        lost: whether nothing can be measured now.
        rollout: whether one is under way; at each sync it puts a new pod in the place of the oldest.
        most: the HPA's maxReplicas.
        target: the HPA's own CPU target in percent, 0 where it follows nothing but its floor.
        pods_known: whether the twin may read them.
        seed: of the noise.
    """

    load: Quantity
    busy: Quantity = lambda _: 5.0
    dependency: Quantity = lambda _: 0.0
    start_seconds: float = 20.0
    start_cpu: float = 0.0
    noise: float = 0.0
    lost: Callable[[float], bool] = lambda _: False
    rollout: Callable[[float], bool] = lambda _: False
    most: int = 20
    target: float = 0.0
    pods_known: bool = True
    seed: int = 1


@dataclass(frozen=True)
class Seen:
    """One sync.

    Attributes:
        minute: since the beginning.
        acted: whether something was written.
    """

    minute: float
    observation: Observation
    decision: Decision
    recommended: int | None
    state: TwinState

    @property
    def acted(self) -> bool:
        return self.decision.writes

    @property
    def raised(self) -> bool:
        return self.acted and self.decision.action is CorrectionAction.RAISE

    @property
    def value(self) -> int:
        assert self.observation.lever is not None
        return self.observation.lever.value or 0

    @property
    def metric(self) -> str:
        return self.decision.trigger.partition("/")[2]


def reread(state: TwinState) -> TwinState:
    """Return the state as it comes back from the API server."""
    return TwinState.from_status(DigitalTwinStatus.from_wire(state.to_status(DigitalTwinStatus()).to_wire()))


@dataclass
class VirtualTwin:
    """Runs a world with a twin in it.

    Attributes:
        step: seconds between two syncs.
        metrics: those that the twin has.
    """

    world: World
    spec: DigitalTwinSpec
    step: float = 60.0
    floor: int = 2
    metrics: tuple[str, ...] = ("cpuUsage", "latencyMs", "throughputRps", "errorRate")
    state: TwinState = field(default_factory=TwinState)
    generation: int = 1

    def run(self, hours: float) -> list[Seen]:
        """Return every sync of so many hours."""
        return list(self._run(int(hours * 3600 / self.step)))

    def _run(self, count: int) -> Iterator[Seen]:
        self._random = random.Random(self.world.seed)  # noqa: S311 - noise, no secret
        self._lever = hpa(self.floor, KUBECTL, maximum=self.world.most)
        self._pods = [Pod(f"old-{n}", NOW - 3600, NOW - 3500) for n in range(self.floor)]
        self._asked = [self.floor]
        for number in range(count):
            yield self._sync(number * self.step)

    def _sync(self, at: float) -> Seen:
        now = NOW + at
        self._scale(at, now)
        done = step(self.spec, self.state, self._observe(at, now), generation=self.generation)
        state = self._carry_out(done.decision, done.state, now)
        # Now and then the operator is restarted, and finds what stands in status.
        restarted = at % (10 * self.step) == 0
        self.state = reread(state) if restarted else state
        return Seen(at / 60, done.observation, done.decision, done.state.recommended_replicas, self.state)

    def _carry_out(self, decision: Decision, state: TwinState, now: float) -> TwinState:
        record = pending(state.corrections)
        if not decision.writes or record is None:
            return state
        original = state.saved_values[0]
        owner = OURS if decision.action is CorrectionAction.RAISE else KUBECTL
        self._lever = dataclasses.replace(self._lever, value=decision.to, owners=(owner,))
        if decision.action is CorrectionAction.RAISE:
            return raised(state, record, original, now=now)
        return restored(state, record, original, "", now=now)

    def _scale(self, at: float, now: float) -> None:
        """Let the HPA and the kubelets do what they do."""
        wanted = self._lever.value or 1
        if self.world.target:
            ready = self._ready(now)
            mean = sum(self._cpu(pod, at, now, ready) for pod in ready) / max(len(ready), 1)
            ratio = mean / self.world.target
            wanted = max(wanted, len(self._pods) if abs(ratio - 1) <= 0.1 else math.ceil(len(ready) * ratio))
        self._asked = [*self._asked, wanted][-math.ceil(300 / self.step) :]
        # Down only to the most of the last five minutes.
        asked = min(max(self._asked), self.world.most)
        while len(self._pods) < asked:
            began = now - self.step / 2
            self._pods.append(Pod(f"pod-{now:.0f}-{len(self._pods)}", began, None))
        del self._pods[asked:]
        if self.world.rollout(at):
            self._pods = [*self._pods[1:], Pod(f"new-{now:.0f}", now - self.step / 2, None)]
        self._pods = [
            dataclasses.replace(pod, ready_since=pod.started + self.world.start_seconds)
            if pod.ready_since is None and pod.started is not None and pod.started + self.world.start_seconds <= now
            else pod
            for pod in self._pods
        ]

    def _ready(self, now: float) -> list[Pod]:
        return [pod for pod in self._pods if pod.ready_since is not None and pod.ready_since <= now]

    def _cpu(self, pod: Pod, at: float, now: float, ready: list[Pod]) -> float:
        warm = pod.ready_since is not None and now >= pod.ready_since + 60
        share = 100 * self.world.load(at) / EACH / max(len(ready), 1) if pod in ready else 0.0
        return self.world.busy(at) + share + (0.0 if warm else self.world.start_cpu)

    def _observe(self, at: float, now: float) -> Observation:
        ready = self._ready(now)
        rated = [pod for pod in ready if now - (pod.started or now) >= WINDOW / 2] or ready
        load = self.world.load(at)
        use = min(load / EACH / max(len(ready), 1), 0.97)
        values = {
            "cpuUsage": sum(self._cpu(pod, at, now, ready) for pod in rated) / max(len(rated), 1),
            "latencyMs": self.world.dependency(at) + 20 / (1 - use),
            "throughputRps": load,
            "errorRate": 0.0,
        }
        lost = self.world.lost(at)
        samples = {
            name: self._sample(name, values[name], now, lost=lost, idle=load <= 0)
            if name in self.metrics
            else Sample(name, Quality.MISSING, reason="NoSuchSeries")
            for name in values
        }
        workload = Workload(
            ref=TargetRef(name="checkout"),
            uid="deployment-uid",
            ready=len(ready),
            desired=len(self._pods),
            pods=tuple(self._pods) if self.world.pods_known else None,
            rollout=f"{at / 60:.0f} replicas updated" if self.world.rollout(at) else "",
        )
        return Observation(
            now=now,
            samples=samples,
            workload=workload,
            limits=limits_in_force(self.spec, workload),
            lever=self._lever,
            held=Held({self._lever.key: self._lever}),
            cpu_counted=True,
            cpu_pods=len(rated) or None,
            windows={"cpuUsage": WINDOW, "latencyMs": WINDOW},
        )

    def _sample(self, name: str, value: float, now: float, *, lost: bool, idle: bool) -> Sample:
        if lost:
            return Sample(name, Quality.STALE, reason="StaleSamples")
        if idle and name in {"latencyMs", "errorRate"}:
            return Sample(name, Quality.EMPTY, reason="EmptyResult")
        noisy = value * max(1 + self._random.gauss(0, self.world.noise), 0.0)
        return Sample(name, Quality.GOOD, noisy, time=now - 5)
