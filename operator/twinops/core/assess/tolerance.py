"""How far a metric may lie from its expected value, for health and drift.

A tolerance has two *edges*, one on each side of the expected value. An edge lies one allowed deviation
away, or at the limit where that is nearer::

    expected 50, threshold 20 %, limit 95:      40 ──── 50 ──── 60 ─────────── 95
                                              edge   expected  edge          limit

A learned tolerance is the band of the baseline estimate for this hour: it may be wider to one side than to the other,
and is never narrower than the allowed deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.debounce import CLEARED_BELOW
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.metric_definitions import definition

DEFAULT_THRESHOLD_PERCENT = 20.0
"""Allowed deviation in percent of the expected value, unless ``spec.thresholds`` says otherwise."""

_ROUNDING = 1e-9
"""0.108 - 0.09 is a little more than 20 % of 0.09: differences of this relative size are rounding, not deviation."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is allowed for one metric. All values are in the metric's own unit.

    Attributes:
        metric: its name.
        expected: expected value; zero and negative ones are fine.
        width: allowed deviation to either side, > 0. None where the spec gives none: a percentage of an
            expected 0 has no meaning.
        limit: value that must not be crossed, None where none is given.
        width_below: allowed deviation downwards, None where it is ``width``.
        learned: whether the expected value was learned.
    """

    metric: str
    expected: float
    width: float | None
    limit: float | None = None
    width_below: float | None = None
    learned: bool = False

    def harmful(self, *, above: bool) -> bool:
        """Tell whether a deviation to this side does harm. Where the harmful side is unknown, both do."""
        side = definition(self.metric).harmful_above
        return side is None or side is above

    def limit_on(self, *, above: bool) -> float | None:
        """Return the limit if it bounds this side, else None.

        A limit bounds the harmful side. Where both sides are harmful, it bounds the one it lies on.
        """
        if self.limit is None:
            return None
        side = definition(self.metric).harmful_above
        bounds_above = self.limit >= self.expected if side is None else side
        return self.limit if bounds_above is above else None

    def past_limit(self, value: float, *, above: bool) -> bool:
        """Tell whether the value lies beyond the limit of this side."""
        limit = self.limit_on(above=above)
        return limit is not None and (value > limit if above else value < limit)

    def deviation(self, value: float, *, above: bool) -> float:
        """Return how far the value lies from the expected one towards this side; negative on the other side."""
        return value - self.expected if above else self.expected - value

    def reach(self, *, above: bool) -> float | None:
        """Return the deviation at this side's edge.

        None where there is no edge. Not above 0 only for a limit on the wrong side of the expected value,
        which the CRD refuses for standard metrics.
        """
        limit = self.limit_on(above=above)
        to_limit = None if limit is None else self.deviation(limit, above=above)
        return min((known for known in (self.allowed(above=above), to_limit) if known is not None), default=None)

    def allowed(self, *, above: bool) -> float | None:
        """Return the allowed deviation to this side, whatever the limit."""
        return self.width if above or self.width_below is None else self.width_below

    def edge(self, *, above: bool) -> float | None:
        """Return the value at which this side's edge lies, None where there is none."""
        reach = self.reach(above=above)
        if reach is None:
            return None
        return self.expected + reach if above else self.expected - reach

    def outside(self, value: float, *, above: bool) -> bool:
        """Tell whether the value lies beyond this side's edge. The edge itself is inside."""
        reach, deviation = self.reach(above=above), self.deviation(value, above=above)
        return reach is not None and deviation > reach and not math.isclose(deviation, reach, rel_tol=_ROUNDING)

    def cleared(self, value: float, *, above: bool) -> bool:
        """Tell whether the deviation to this side is under ``CLEARED_BELOW`` of the one at its edge (hysteresis)."""
        reach = self.reach(above=above)
        if reach is None:
            return True
        margin = (1 - CLEARED_BELOW) * (reach if reach > 0 else self.allowed(above=above) or 0.0)
        return self.deviation(value, above=above) <= reach - margin

    def scale(self, *, above: bool) -> float | None:
        """Return the deviation that severity and penalty are measured in multiples of, > 0 or None."""
        reach = self.reach(above=above)
        return reach if reach is not None and reach > 0 else None

    def percent(self, deviation: float) -> float | None:
        """Return a deviation in percent of the expected value, None where that has no finite value."""
        if self.expected == 0:
            return None
        share = deviation / abs(self.expected) * 100
        return share if math.isfinite(share) else None


def tolerance(spec: DigitalTwinSpec, metric: str, baseline: BaselineEstimate | None = None) -> Tolerance | None:
    """Return what the twin allows for a metric, None where it expects no value of it.

    The allowed deviation is the larger of what ``thresholds`` (percent of the expected value) and
    ``absoluteThresholds`` say; 20 % where neither names the metric. An explicit expected value wins over a
    learned one, whose band counts where it is wider than that.

    Args:
        spec: the twin's spec.
        metric: name of the metric.
        baseline: the metric's baseline estimate, None where there is none.
    """
    expected = spec.expected_state.metrics.get(metric)
    if expected is not None:
        return Tolerance(metric, expected, _width(spec, metric, expected) or None, spec.limits.get(metric))
    if baseline is None or baseline.expected is None or not spec.expected_state.learned:
        return None
    expected, width = baseline.expected, _width(spec, metric, baseline.expected)
    above = max(width, 0.0 if baseline.upper is None else baseline.upper - expected)
    below = max(width, 0.0 if baseline.lower is None else expected - baseline.lower)
    # A band of width 0 around 0 gives no allowed deviation.
    return Tolerance(metric, expected, above or None, spec.limits.get(metric), below or None, learned=True)


def _width(spec: DigitalTwinSpec, metric: str, expected: float) -> float:
    percent, absolute = spec.thresholds.get(metric), spec.absolute_thresholds.get(metric)
    if percent is None and absolute is None:
        percent = DEFAULT_THRESHOLD_PERCENT
    return max(absolute or 0.0, (percent or 0.0) / 100 * abs(expected))
