"""Pods that start up, and for how long the metrics that they distort are not acted on.

A pod that starts uses CPU that no request asked for, and answers its first requests slowly. The rules are those of the
HorizontalPodAutoscaler, which leaves such pods out of CPU
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details): for
``cpuInitializationPeriod`` after its start a pod counts only once it is ready and a whole window of its samples lies
after that. Our value is a mean over all pods, of which none can be left out; so it is not acted on at all.

That ends after a time: where a rollout makes no progress, or pods never stop starting up, the need may be a real one.
"""

from __future__ import annotations

from collections.abc import Iterator

from twinops.api.base import utc
from twinops.api.twin.corrections import StartUp
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.debounce import after_gap
from twinops.core.observation import Observation, Pod
from twinops.core.text import shorten
from twinops.metric_definitions import definition

INITIALIZATION_SECONDS = 300.0
"""The HPA's ``--horizontal-pod-autoscaler-cpu-initialization-period``."""

DEFAULT_WINDOW = 60.0
"""Seconds that a value looks back over where the query does not say."""

STUCK_SECONDS = 600.0
"""Seconds without a new pod after which a rollout counts as stuck: the default ``progressDeadlineSeconds``."""

LONGEST_SECONDS = 600.0
"""Seconds for which pods that start up one after the other suppress corrections: two initialization periods."""

LONGEST_ROLLOUT_SECONDS = 3600.0
"""Likewise while a rollout makes progress: a large one takes that long."""

_ROLLOUT = "a rollout is under way"


def starting(observation: Observation) -> str:
    """Return what starts up now, in words; empty when nothing does.

    Where the pods are not known, the workload's own figures count: a rollout, or fewer ready replicas than asked for.
    """
    workload = observation.workload
    if workload is None:
        return ""
    if workload.rollout:
        return f"{_ROLLOUT} ({workload.rollout})"
    if workload.pods is None:
        behind = 0 < workload.ready < workload.desired
        return f"{workload.ready} of {workload.desired} replicas are ready" if behind else ""
    young = len(list(_young(observation, workload.pods)))
    return f"{young} of {len(workload.pods)} pods are starting up" if young else ""


def _young(observation: Observation, pods: tuple[Pod, ...]) -> Iterator[Pod]:
    begins = [_begin(observation, metric) for metric in observation.samples if definition(metric).distorted_by_start_up]
    begin = min((time for time in begins if time is not None), default=observation.now)
    for pod in pods:
        # One that waits for a node uses nothing, and one that ends is past its start.
        if pod.terminating or pod.started is None or observation.now - pod.started >= INITIALIZATION_SECONDS:
            continue
        if pod.ready_since is None or begin < pod.ready_since:
            yield pod


def _begin(observation: Observation, metric: str) -> float | None:
    """Return when the window begins that a metric's value looks back over, None where it has no value to use."""
    sample = observation.samples[metric]
    if not sample.actionable:
        return None
    return (observation.now if sample.time is None else sample.time) - observation.windows.get(metric, DEFAULT_WINDOW)


def follow(before: StartUp | None, spec: DigitalTwinSpec, observation: Observation, words: str) -> StartUp | None:
    """Return since when pods start up one after the other, None when none does.

    Where the pods are not known, it lasts until their last samples are past: when they became ready is not known.

    Args:
        before: what the last status says.
        spec: the twin's spec.
        observation: of now.
        words: what starts up now, empty when nothing does.
    """
    now, workload = utc(observation.now), observation.workload
    if not words:
        pods_known = workload is None or workload.pods is not None
        wait = max(observation.windows.values(), default=DEFAULT_WINDOW) + spec.sync_frequency_seconds
        return before if before and not pods_known and observation.now - before.last.timestamp() < wait else None
    rollout, message = words.startswith(_ROLLOUT), shorten(words)
    if before is not None and after_gap(before.last, observation.now, spec.sync_frequency_seconds):
        # No sync has observed the time between: this is another start.
        before = None
    if before is None or before.since > now or (before.rollout and not rollout):
        # The last pods of a rollout have their own time.
        return StartUp(since=now, changed=now, last=now, rollout=rollout, message=message)
    changed = before.changed if before.message == message else now
    return StartUp(since=before.since, changed=changed, last=now, rollout=rollout, message=message)


def over(start_up: StartUp, observation: Observation) -> bool:
    """Tell whether this has gone on for so long that it is no reason to wait any more."""
    age = observation.now - start_up.since.timestamp()
    if not start_up.rollout:
        return age >= LONGEST_SECONDS
    pods = observation.workload.pods if observation.workload else None
    # Of pods that are not known the workload's own figures tell whether the rollout gets on.
    starts = (
        [start_up.changed.timestamp()] if pods is None else [pod.started for pod in pods if pod.started is not None]
    )
    stuck = age >= STUCK_SECONDS and observation.now - max(starts, default=0.0) >= STUCK_SECONDS
    return stuck or age >= LONGEST_ROLLOUT_SECONDS
