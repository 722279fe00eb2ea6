"""Texts about a deviation: what a person should do, and why a correction may not."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from twinops.core.assess.tolerance import Tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.baseline.statistics import AnomalyKind
from twinops.metric_definitions import definition

_MAX_SHOWN = 64
_LARGEST_PERCENT = 9999

_OF_TARGET: MappingProxyType[str, str] = MappingProxyType(
    {
        "replicas": "corrections follow load; the number of replicas alone is no reason for one",
        "version": "a replica change cannot mend a version",
    }
)
"""By component of the target, why a replica change does not mend it."""


def shown(metric: str, value: float) -> str:
    """Return the value with its unit, short enough for a status field."""
    text = definition(metric).show(value)
    return text if len(text) <= _MAX_SHOWN else f"{value:.4g}"


def metric_advice(allowed: Tolerance, value: float, *, above: bool) -> str:
    """Return one sentence: what is off, by how much, and what to do about it.

    For example ``CPU is 64% above what is expected (82% against 50%): scale out, or raise the CPU request``.
    """
    metric = allowed.metric
    word = definition(metric).subject
    figures = f"({shown(metric, value)} against {shown(metric, allowed.expected)})"
    if allowed.reach(above=above) is not None and not allowed.outside(value, above=above):
        return f"{word} is back inside its threshold {figures}: nothing to do unless it leaves it again"
    side = "above" if above else "below"
    size = _size(allowed, value, above=above)
    return f"{word} is {size} {side} what is expected {figures}{_limit_passed(allowed, value, above=above)}: " + (
        _what_to_do(allowed, above=above)
    )


def _size(allowed: Tolerance, value: float, *, above: bool) -> str:
    deviation = allowed.deviation(value, above=above)
    percent = allowed.percent(deviation)
    if percent is None or percent > _LARGEST_PERCENT:
        return shown(allowed.metric, deviation)
    return f"{percent:.0f}%" if percent >= 1 else f"{percent:.2g}%"


def _limit_passed(allowed: Tolerance, value: float, *, above: bool) -> str:
    limit = allowed.limit_on(above=above)
    if limit is None or not allowed.past_limit(value, above=above):
        return ""
    return f" and past its limit of {shown(allowed.metric, limit)}"


def _what_to_do(allowed: Tolerance, *, above: bool) -> str:
    metric = allowed.metric
    if allowed.learned:
        return _what_to_do_by_learning(metric, above=above, harmful=allowed.harmful(above=above))
    if allowed.reach(above=above) is None:
        return f"say how much is too much in absoluteThresholds.{metric}; a percentage of 0 has no meaning"
    if not allowed.harmful(above=above):
        return definition(metric).advice.harmless or (
            f"nothing to mend; if it lasts, expectedState.metrics.{metric} is out of date"
        )
    return (
        _harm(metric, above=above)
        or f"see what has changed; if this is the new normal, update expectedState.metrics.{metric}"
    )


def _what_to_do_by_learning(metric: str, *, above: bool, harmful: bool) -> str:
    if not harmful:
        return definition(metric).advice.harmless or "nothing to mend; see whether load still arrives"
    advice = _harm(metric, above=above)
    # A learned metric has no expected value in the spec that a person could change.
    if not advice or f"expectedState.metrics.{metric}" in advice:
        return "see what has changed; what lasts for a day becomes what is normal"
    return advice


def _harm(metric: str, *, above: bool) -> str:
    """Return the advice about a harmful deviation to this side, empty where nothing specific is known."""
    advice = definition(metric).advice
    return advice.too_high if above else advice.too_low


def normal_range(metric: str, lower: float | None, upper: float | None) -> str:
    """Return a learned band in words, within what values of the metric can be."""
    known = definition(metric)
    if lower is None or upper is None:
        return "not known yet"
    least = lower if known.minimum is None else max(lower, known.minimum)
    most = upper if known.maximum is None else min(upper, known.maximum)
    return f"{shown(metric, least)} to {shown(metric, most)}"


@dataclass(frozen=True, slots=True)
class MeanDeviation:
    """The mean deviation from the baseline over a window, in words.

    Attributes:
        expected: what is usual.
        actual: what is observed.
        off: size of the mean deviation.
        usual: the largest one that is usual.
        over: length of the window.
    """

    expected: str
    actual: str
    off: str
    usual: str
    over: str


def learned_advice(
    allowed: Tolerance,
    baseline: BaselineEstimate,
    value: float,
    *,
    above: bool,
    outside: bool,
    since: str,
    mean: MeanDeviation | None = None,
) -> str:
    """Return one sentence: how far a value is from what is normal for this hour, since when, and what to do.

    For example ``Latency is 240 ms, 30 ms above what is normal for this hour (180 ms to 210 ms), since 14:05 UTC:
    scale out; if that does not help, look at the slowest dependency``.
    """
    metric = allowed.metric
    band = f"what is normal for this hour ({normal_range(metric, baseline.lower, baseline.upper)})"
    start = f"{definition(metric).subject} is {shown(metric, value)}"
    if not outside:
        return f"{start}, back to {band}: nothing to do unless it leaves it again"
    if mean is not None:
        side = "above" if above else "below"
        return (
            f"{definition(metric).subject} has been {mean.off} {side} what is normal for the hour, on average over "
            f"{mean.over} since about {since} (up to {mean.usual} is usual; {shown(metric, value)} now): "
            f"{_what_to_do(allowed, above=above)}"
        )
    edge = (baseline.upper if above else baseline.lower) or 0.0
    beyond = value - edge if above else edge - value
    side = "above" if above else "below"
    place = f"{shown(metric, beyond)} {side} {band}" if beyond > 0 else f"{side} {band} of late"
    when = f", since {since}" if since else ""
    limit = _limit_passed(allowed, value, above=above)
    return f"{start}, {place}{when}{limit}: {_what_to_do(allowed, above=above)}"


_SIDELESS: MappingProxyType[AnomalyKind, tuple[str, str]] = MappingProxyType(
    {
        AnomalyKind.VARIANCE: (
            "moves more than it did before",
            "look for restarts, uneven load balancing or a dependency that comes and goes",
        ),
        AnomalyKind.CALM: (
            "moves less than it did before",
            "see whether load still arrives and what measures it still works",
        ),
        AnomalyKind.FLAT: ("has stood still", "see whether load still arrives and what measures it still works"),
        AnomalyKind.SILENCE: (
            "has had none of its usual bursts",
            "see whether the jobs or requests behind them still run",
        ),
    }
)


def sideless_advice(metric: str, kind: AnomalyKind, value: str, expected: str, since: str) -> str:
    """Return one sentence about unusual movement: since when, what was expected, what to do."""
    what, advice = _SIDELESS[kind]
    return f"{definition(metric).subject} {what} since {since} ({value} now; normal is: {expected}): {advice}"


def span(seconds: float) -> str:
    """Return a length of time in words: ``5 min``, ``1.5 h``, ``3 d``."""
    if seconds < 5400:  # noqa: PLR2004 - an hour and a half
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.3g} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.3g} d"


def replicas_advice(ready: int, bound: int, *, above: bool) -> str:
    """Return what to do about a number of ready replicas outside its range."""
    if not above:
        return (
            f"{ready} ready where at least {bound} replicas are expected: see why pods are missing or not "
            "ready (kubectl describe), or raise the replicas"
        )
    return (
        f"{ready} ready where at most {bound} replicas are expected: scale in when the load allows, "
        "or raise expectedState.replicas.max"
    )


def version_advice(expected: str, actual: str) -> str:
    """Return what to do about another version than the expected one."""
    return f"{actual} runs where {expected} is expected: roll out {expected}, or update expectedState.version"


def label_advice(key: str, expected: str, actual: str | None) -> str:
    """Return what to do about a label that is missing (``actual`` None) or has another value."""
    now = "is missing" if actual is None else f"is {actual!r}"
    return f"the label {key} {now} where {expected!r} is expected: set it on the target, or update expectedState.labels"


def obstacle(component: str, *, above: bool, harmful: bool) -> str:
    """Return why a replica change cannot mend this component's deviation, empty when it can.

    Args:
        component: metric name, or ``replicas``, ``version``, ``labels.KEY``.
        above: side of the deviation.
        harmful: whether a deviation to this side does harm.
    """
    if not harmful:
        return "a deviation to the harmless side needs no correction"
    if component.startswith("labels."):
        return "a replica change cannot mend a label"
    known = definition(component)
    if known.drives_corrections and (above or known.harmful_above):
        return ""
    unknown = f"it is not known whether a replica change would mend {component}"
    return _OF_TARGET.get(component) or known.advice.beyond_replicas or unknown
