"""The penalty of one metric's value, 0..1: what it costs the health score.

The penalty is 0 at the expected value and 1 at the limit, linear between. What was learned to be normal counts only
where there is neither an expected value nor a limit, and its band has no penalty. A limit is not softened by it: CPU
that is at 94 % at every noon is near its limit all the same.
"""

from __future__ import annotations

import math

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.tolerance import Tolerance, tolerance
from twinops.metric_definitions import definition

FULL_AT_THRESHOLDS = 4.0
"""Without any limit the penalty is full at this many allowed deviations, where drift becomes critical."""

FREE_SHARE = 0.8
"""Without an expected value there is no penalty below this share of the limit (errors: below 0)."""


def penalty_of(spec: DigitalTwinSpec, metric: str, value: float, *, unit: str = "") -> float | None:
    """Return the penalty of a value: 0 at the expected value, 1 at the limit, linear between, clipped.

    Args:
        spec: the twin's spec.
        metric: name of the metric.
        value: finite, in the metric's own unit.
        unit: the sample's unit with its basis. Use above a *request* is allowed, so percentages of
            requests have no default limit.

    Returns:
        0..1, or None where nothing says what would be bad: no expected value and no limit, or an expected
        value of 0 without a limit or an absolute threshold.
    """
    by_default = None if unit.endswith("requests") else definition(metric).default_limit
    allowed = tolerance(spec, metric)
    if allowed is not None:
        return _against_expected(allowed, by_default, value)
    limit = spec.limits.get(metric, by_default)
    return None if limit is None else _against_limit(metric, limit, value)


def _against_limit(metric: str, limit: float, value: float) -> float:
    """Return the penalty where only a limit is given, on the side on which the limit lies."""
    start = min(0.0, limit) if definition(metric).harmful_from_zero else limit - (1 - FREE_SHARE) * abs(limit)
    return _between(start, limit, value)


def _against_expected(allowed: Tolerance, by_default: float | None, value: float) -> float | None:
    """Return the penalty against an expected value, None where there is no limit and no allowed deviation."""
    if allowed.width is None and allowed.limit is None and by_default is None:
        return None
    if any(allowed.past_limit(value, above=side) for side in (True, False)):
        return 1.0
    full = _full_at(allowed, by_default, above=value >= allowed.expected)
    return 0.0 if full is None else _between(allowed.expected, full, value)


def learned_penalty(allowed: Tolerance, value: float) -> float | None:
    """Return the penalty against a learned band: 0 at its edge, 1 at ``FULL_AT_THRESHOLDS`` times the distance."""
    above = value >= allowed.expected
    edge, full = allowed.edge(above=above), _full_at(allowed, None, above=above)
    if not allowed.outside(value, above=above) or not allowed.harmful(above=above):
        return 0.0
    return None if edge is None or full is None else _between(edge, full, value)


def _full_at(allowed: Tolerance, by_default: float | None, *, above: bool) -> float | None:
    """Return the value with the full penalty on this side, None where there is no penalty on it."""
    if not allowed.harmful(above=above):
        return None
    limit = allowed.limit_on(above=above)
    if limit is not None:
        return limit
    if by_default is not None and above and by_default > allowed.expected:
        return by_default
    scale = allowed.scale(above=above)
    if scale is None:
        return None
    known, away = definition(allowed.metric), FULL_AT_THRESHOLDS * scale
    if above:
        return min(allowed.expected + away, math.inf if known.maximum is None else known.maximum)
    return max(allowed.expected - away, -math.inf if known.minimum is None else known.minimum)


def _between(start: float, end: float, value: float) -> float:
    """Return how far the value is on its way from ``start`` to ``end``, clipped to 0..1."""
    if end == start:
        return 1.0 if value > end else 0.0
    share = (value - start) / (end - start)
    # NaN comes of two infinite differences; the value is far from anything expected then.
    return 1.0 if math.isnan(share) else min(max(share, 0.0), 1.0)
