"""How one metric has responded to its last step: whether more replicas have lowered it.

A step is a ``ReplicaStep`` of status: the metric's value and the load before there were more pods, and the first
samples since. Its effect is the fall of the value relative to the fall that the pods should bring in proportion: of
90 % CPU on three pods that become four, 22.5 points. Load that grows meanwhile uses that relief up; where a metric
gives the load, only samples count at which half of the relief is left. Where none gives it, CPU has had its effect if
any of the three samples shows it, for load may have used it up by the next one; latency on average, for it is noisy.

A step without effect suppresses further ones until the need is a different one: the spec has changed, what was raised
has been restored, or each pod has as much load again as before the step. Of latency that is not enough, for the time of
a dependency does not depend on load: it must also be worse than it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.twin.corrections import ReplicaStep
from twinops.core.assess.debounce import is_new
from twinops.core.correction.reasons import BlockReason
from twinops.core.correction.sizing import ReplicaSizer, Suppression, ceil
from twinops.metric_definitions import Sizing, definition

SAMPLES = 3
"""Samples that an effect is judged by: the fewest of which a single outlier is not the majority."""

SETTLE_SECONDS = 60.0
"""Seconds that new pods have to take their share of the load, besides a whole window of the query, before a sample
counts."""

ENOUGH_SECONDS = 600.0
"""Seconds after which fewer samples are enough: at long intervals three would take hours."""

SHARE = 0.4
"""Share of the fall in proportion to pods that must have come on average for a step to have had an effect."""

LEFT = 0.5
"""A sample counts while at least this share of the relief that the pods have brought is left."""

AT_ONCE = 0.4
"""As ``SHARE``, for a single sample, where only the best one counts."""

WORSE = 1.2
"""A value that is this factor above what it was before a step without effect is a different need."""

SAME_LOAD = 0.9
"""From this share of the load of a step on, that load counts as still there."""

KEEP_SECONDS = 6 * 3600.0
"""Seconds for which a load keeps what was raised; then restoring is tried, for the pods may be faster by now."""

KEEP_UNKNOWN_SECONDS = 3600.0
"""Likewise where nothing gives the load; doubled for each restore that status lists."""

SMOOTH = 0.5
"""Weight of the newest value in what latency was before a step: single values of it are noisy."""

FORGET_SECONDS = 600.0
"""Seconds, and at least two intervals, without a need after which a metric that nothing is held for starts afresh."""


@dataclass(frozen=True, slots=True)
class StepResponse:
    """One metric at one sync, against its last step.

    Attributes:
        value: of the metric; None where there is no real, fresh one.
        pods: that the value is shared by; None likewise.
        required: whether the metric requires more replicas than there are.
        beyond: whether the value itself lies beyond the goal, and not only the forecast.
        load: what the pods have to do, and the metric that gives it; None where none does.
        restored: how often what was raised has been restored because it was not needed any more.
        window: seconds from new pods to the first sample that counts.
        forget: seconds after which a metric without a need may start afresh.
        time: of the sync, Unix seconds.
        sampled: time of the newest data behind the value, Unix seconds.
    """

    metric: str
    value: float | None
    pods: int | None
    required: bool
    beyond: bool
    load: tuple[float, str] | None
    restored: int
    window: float
    forget: float
    time: float
    sampled: float

    @property
    def sizing(self) -> Sizing | None:
        """How replicas are counted from the metric."""
        return definition(self.metric).sizing

    @classmethod
    def of(cls, sizer: ReplicaSizer, metric: str, *, required: bool, beyond: bool, restored: int) -> StepResponse:
        """Return the metric as one sync has observed it."""
        seen = sizer.observation
        sample = seen.samples.get(metric)
        return cls(
            metric=metric,
            time=seen.now,
            window=max(SETTLE_SECONDS, seen.windows.get(metric, 0.0)),
            value=sizer.value(metric),
            sampled=seen.now if sample is None or sample.time is None else sample.time,
            pods=sizer.pods(metric),
            load=sizer.load(metric),
            required=required,
            beyond=beyond,
            restored=restored,
            forget=max(FORGET_SECONDS, 2 * sizer.spec.sync_frequency_seconds),
        )

    def update(self, step: ReplicaStep | None, generation: int, *, held: bool) -> ReplicaStep | None:
        """Return the step after this sync, None when there is nothing to remember.

        Args:
            step: as the last sync left it, None where there is none.
            generation: of the spec.
            held: whether a raised value is held for this metric.
        """
        if self.value is None or self.pods is None:
            return step
        if step is None:
            return self._new_step(generation) if self.required else None
        if not held and not self.floor(step) and self.time - step.asked.timestamp() > self.forget:
            # It may have had no value all the time, so the end of its need was not observed.
            return self._new_step(generation) if self.required else None
        if self.required:
            step = step.model_copy(update={"asked": utc(self.time)})
        if self.pods <= step.replicas:
            # There are no more pods than before: the present value is what later ones are compared with.
            return self._before_growth(step, generation)
        if step.grown is None:
            step = step.model_copy(update={"grown": utc(self.time)})
        if self.required and self._may_go_further(step):
            return self._new_step(generation)
        return self._with_sample(step)

    def _before_growth(self, step: ReplicaStep, generation: int) -> ReplicaStep:
        """Return the step as of before there were more pods."""
        if not self.required:
            return step.model_copy(update={"grown": None, "effects": []})
        new = self._new_step(generation)
        if self.sizing is not Sizing.STEP or step.grown is not None or step.replicas != new.replicas:
            return new
        update: dict[str, float] = {"value": (1 - SMOOTH) * step.value + SMOOTH * new.value}
        if new.load is not None and step.load is not None and step.load_metric == new.load_metric:
            update["load"] = (1 - SMOOTH) * step.load + SMOOTH * new.load
        return new.model_copy(update=update)

    def _new_step(self, generation: int) -> ReplicaStep:
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

    def _with_sample(self, step: ReplicaStep) -> ReplicaStep:
        """Return the step with the effect that this sample shows, where it counts."""
        begin = 0.0 if step.grown is None else step.grown.timestamp() + self.window
        if len(step.effects) >= SAMPLES or self.sampled < begin or not is_new(step.last_data_time, self.sampled):
            return step
        relief, brought = 1 - self._load_per_pod(step), 1 - step.replicas / (self.pods or 1)
        if relief < LEFT * brought:
            return step
        fall = step.value * relief
        share = (step.value - (self.value or 0.0)) / fall if fall > 0 else 0.0
        effect = round(min(max(share, -9.0), 9.0), 3) if math.isfinite(share) else 0.0
        return step.model_copy(update={"effects": [*step.effects, effect], "last_data_time": utc(self.sampled)})

    def _load_ratio(self, step: ReplicaStep) -> float | None:
        """Return the load now relative to that before the step, None where either is not known."""
        if self.load is None or not step.load or step.load_metric != self.load[1]:
            return None
        return self.load[0] / step.load

    def _load_per_pod(self, step: ReplicaStep) -> float:
        """Return the load of each pod relative to that before the step, taking the same load where it is not known."""
        ratio = self._load_ratio(step)
        return (1.0 if ratio is None else ratio) * step.replicas / (self.pods or 1)

    def floor(self, step: ReplicaStep) -> int:
        """Return how many of the present pods the load still needs, 0 where the step gives no such floor.

        Where latency has responded, the load was too much for fewer pods. While it lasts, what was raised is kept: else
        it would be restored as soon as it helps, and raised again.
        """
        since = self.time - step.asked.timestamp()
        if (
            self.sizing is not Sizing.STEP
            or not self.pods
            or self.pods <= step.replicas
            or not _had_effect(step, self.time)
        ):
            return 0
        ratio = self._load_ratio(step)
        if ratio is None:
            return step.replicas + 1 if since < KEEP_UNKNOWN_SECONDS * 2**self.restored else 0
        share = ratio / SAME_LOAD
        return min(self.pods, ceil(step.replicas * share)) if share >= 1 and since < KEEP_SECONDS else 0

    def _may_go_further(self, step: ReplicaStep) -> bool:
        """Tell whether a further step may be taken."""
        return _had_effect(step, self.time) is True or self._is_different_need(step)

    def _is_different_need(self, step: ReplicaStep) -> bool:
        """Tell whether the need is a different one than that of a step without effect."""
        if (
            definition(self.metric).offered
            or _had_effect(step, self.time) is None
            or self.value is None
            or not self.pods
        ):
            return False
        if self._load_ratio(step) is not None:
            worse = self.sizing is Sizing.SHARED_BY_PODS or self.value >= WORSE * step.value
            return worse and self._load_per_pod(step) >= 1
        if self.sizing is Sizing.STEP:
            # Without the load an overloaded workload cannot be told from a dependency that gets slower.
            return self.beyond and not step.beyond
        return self.value >= max(self.pods / max(step.replicas, 1), WORSE) * step.value

    def suppression(self, step: ReplicaStep) -> Suppression | None:
        """Return why no further step is taken, None where one may be."""
        if step.grown is None:
            return None
        word, pods = definition(self.metric).word, f"{step.replicas} to {self.pods} pods"
        effective = _had_effect(step, self.time)
        if effective is None:
            seen = f"{len(step.effects)} of {SAMPLES} samples"
            return Suppression(
                BlockReason.VERIFYING, f"whether going from {pods} has lowered {word} is not known yet: {seen}"
            )
        if effective:
            return None
        show = definition(self.metric).show
        then, now = show(step.value), "unknown now" if self.value is None else f"{show(self.value)} now"
        return Suppression(
            BlockReason.NO_EFFECT,
            f"going from {pods} has not lowered {word} ({then} before, {now}): no further replicas for it. "
            f"{definition(self.metric).advice.no_effect}",
        )


def _had_effect(step: ReplicaStep, now: float) -> bool | None:
    """Tell whether the step has had an effect, None while that is not known."""
    about = definition(step.metric)
    if about.offered:
        # Replicas do not lower the load that is offered.
        return False
    shared = about.sizing is Sizing.SHARED_BY_PODS
    seen: Sequence[float] = step.effects
    long_ago = step.grown is not None and now - step.grown.timestamp() >= ENOUGH_SECONDS
    if not seen and long_ago:
        # Load has used up at once what the pods have brought. A mean over the pods is shared all the same.
        return shared
    if len(seen) < (1 if long_ago else SAMPLES):
        return None
    if shared and step.load is None:
        return max(seen) >= AT_ONCE
    return sum(seen) / len(seen) >= SHARE
