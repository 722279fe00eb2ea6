"""Durations of queries and samples: steps, windows, staleness, ranges. All in seconds."""

from __future__ import annotations

import re

from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import MetricSpec

MIN_STEP = 5
MAX_STEP = 900
"""Bounds of the step of a history, in seconds."""

# A rate needs two samples; four intervals leave room for one failed scrape and for uneven ones.
_SCRAPES_PER_WINDOW = 4
_SCRAPES_UNTIL_STALE = 8
_MIN_STALE_AFTER = 60

_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*[\]:]")
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def sync_step(sync_seconds: int) -> int:
    """Return the step of a twin's history: its sync interval, within 5 s and 15 min."""
    return min(max(sync_seconds, MIN_STEP), MAX_STEP)


def window_seconds(source: MetricsSourceSpec, sync_seconds: int) -> int:
    """Return the length of ``$(window)``: at least four scrape intervals, and at least one step."""
    return max(_SCRAPES_PER_WINDOW * source.scrape_interval_seconds, sync_step(sync_seconds))


def stale_after_seconds(rules: MetricSpec, source: MetricsSourceSpec) -> int:
    """Return the age from which on a metric's newest sample is stale: the spec's, else 8 scrape intervals (>= 60 s)."""
    default = max(_MIN_STALE_AFTER, _SCRAPES_UNTIL_STALE * source.scrape_interval_seconds)
    return rules.stale_after_seconds or default


def longest_range(promql: str) -> float:
    """Return the seconds that a query looks back over, by its longest range selector; 0 where it has none."""
    found = (_DURATION.findall(text) for text in _RANGE.findall(promql))
    return max((sum(float(amount) * _UNITS[unit] for amount, unit in parts) for parts in found), default=0.0)
