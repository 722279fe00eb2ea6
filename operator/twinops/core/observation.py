"""Everything that one sync has read, as frozen data. Missing data is a value here, never an exception."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from twinops.api.references import TargetRef
from twinops.api.twin.corrections import Original
from twinops.api.twin.observed import Quality
from twinops.core.forecast.result import ForecastResult
from twinops.core.lever import Lever, LeverKey, may_be_unread
from twinops.core.rights import Refusal


@dataclass(frozen=True, slots=True)
class Sample:
    """The answer for one metric at one sync.

    Attributes:
        metric: its name.
        quality: what kind of answer it is.
        value: None unless ``quality`` is Good or Held (or a stand-in by ``onMissing: Value``).
        least: lower bound of a Bounded sample, None where that is not known.
        most: upper bound of a Bounded sample, None likewise.
        unit: unit with its basis, for example ``% of limits``.
        time: Unix seconds of the newest sample behind the value.
        reason: CamelCase, set when quality is not Good.
        message: the reason in words.
        basis: what a percentage is of, and where that was read.
        query: name of the query that answered (``Custom`` or a candidate's name).
    """

    metric: str
    quality: Quality
    value: float | None = None
    unit: str = ""
    time: float | None = None
    reason: str = ""
    message: str = ""
    query: str = ""
    least: float | None = None
    most: float | None = None
    basis: str = ""

    def deciding_value(self, level: float) -> float | None:
        """Return the value or the bound that decides on which side of a level the metric lies, None where none does.

        That is the real, fresh value, else the lower bound where it lies above the level, or the upper one where it
        does not. A bound shows whether the metric exceeds the level, but not by how much.
        """
        if self.actionable:
            return self.value
        if self.least is not None and self.least > level:
            return self.least
        return self.most if self.most is not None and self.most <= level else None

    @property
    def bounded(self) -> bool:
        """Tell whether only bounds of the value are known, of which one may be missing."""
        return self.quality is Quality.BOUNDED

    @property
    def actionable(self) -> bool:
        """Tell whether the value is real and fresh; no other value makes a correction eligible."""
        return self.quality is Quality.GOOD and self.value is not None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a target, as read from the API server.

    Attributes:
        started: Unix seconds of ``status.startTime``, when the kubelet accepted it; None while it waits for a node.
        ready_since: Unix seconds since when its condition ``Ready`` has been true; None while it is not.
        terminating: whether it is being deleted.
    """

    name: str
    started: float | None = None
    ready_since: float | None = None
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """The twin's target as it is now.

    Attributes:
        ready: ready replicas.
        desired: replicas in its spec.
        pod_cpu_cores: limit or request of a pod by its basis, the mean over those that run; None where one of their
            containers has neither limit nor request.
        pod_memory_bytes: likewise for memory.
        cpu_basis: ``limits`` or ``requests``, empty when unknown.
        cpu_problem: which container has neither, empty when known.
        containers: names of the containers that count, empty when they are not known.
        pods_read: whether they and the amounts were read from the pods themselves, not from their template.
        read_from: where they were read, in words.
        pod_regex: RE2 for the names of its pods and of those that it had; empty where only its own name tells,
            None where nothing does.
        notes: for a person, how the pods were read.
        version: ``app.kubernetes.io/version`` or the image tag, None when neither is known.
        pods: those that its selector finds; None where they are not known (no right, no selector).
        rollout: why a rollout counts as in progress, in words; empty when none is.
    """

    ref: TargetRef
    uid: str
    ready: int
    desired: int
    pod_cpu_cores: float | None = None
    pod_memory_bytes: float | None = None
    cpu_basis: str = ""
    memory_basis: str = ""
    version: str | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pods: tuple[Pod, ...] | None = None
    rollout: str = ""
    cpu_problem: str = ""
    memory_problem: str = ""
    containers: tuple[str, ...] = ()
    pods_read: bool = False
    read_from: str = ""
    pod_regex: str | None = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """The fields that the twin holds, read from the live objects.

    Attributes:
        levers: by object and field, every field with a saved value as it is now; one that does not exist any more is
            left out.
        unread: fields that may not be read.
        recovered: a saved value that an annotation or a manifest gives for a field of ours, and that the state does
            not list: its status was lost, or the twin was created again. None where there is none.
        refusal: why nothing could be read at all, None where it could.
    """

    levers: Mapping[LeverKey, Lever] = dataclasses.field(default_factory=dict)
    unread: frozenset[LeverKey] = frozenset()
    recovered: Original | None = None
    refusal: Refusal | None = None


NOTHING_HELD = Held()


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Everything that one sync has read. The only input of the core besides the spec and the state before.

    Attributes:
        now: Unix seconds at which the sync began.
        samples: by metric name.
        forecast_result: what the twin's forecaster makes of it.
        limits: in force now, by metric.
        workload: None when the twin has no target.
        lever: None when there is nothing a correction may write to; then ``no_lever_reason`` says why.
        held: what earlier corrections have written, as it is now.
        rival: name of the older twin that corrects the same target, else empty.
        holder: name of any other twin that still holds a value of the same target or lever, else empty.
        cpu_counted: whether the pods behind ``cpuUsage`` are counted by its own series.
        cpu_pods: so many are; None where their number did not come with the value.
        windows: by metric, the seconds that its value looks back over; 0 of one that is as of its newest sample.
        warnings: what a person should know but nothing stops for (for example PromQL our parser refuses).
        one_shot_managers: patterns of field managers that an administrator calls one-shot.
    """

    now: float
    samples: Mapping[str, Sample]
    forecast_result: ForecastResult = dataclasses.field(default_factory=ForecastResult)
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    workload: Workload | None = None
    lever: Lever | None = None
    no_lever_reason: str = ""
    no_lever_message: str = ""
    held: Held = NOTHING_HELD
    rival: str = ""
    holder: str = ""
    cpu_counted: bool = False
    cpu_pods: int | None = None
    windows: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    one_shot_managers: tuple[str, ...] = ()

    @property
    def lever_unread(self) -> bool:
        """Tell whether it is not known what a correction would write to."""
        return self.lever is None and may_be_unread(self.no_lever_reason)
