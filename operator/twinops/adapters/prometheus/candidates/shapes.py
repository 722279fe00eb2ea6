"""Forms that the queries of all exporters share."""

from __future__ import annotations

PODS = 'namespace="$(namespace)",pod=~"$(podRegex)"'
"""Matchers of what is scraped from the target's own pods, as the Kubernetes service discovery labels it."""

NAMESPACE = 'namespace="$(namespace)"'
"""Matcher of what is scraped beside the target; ``spec.source.labels`` must say which series are its."""


def rate(counter: str, *matchers: str) -> str:
    """Return the total rate of a counter, per second."""
    return f"sum(rate({counter}{_selector(matchers)}[$(window)]))"


def total(gauge: str, *matchers: str) -> str:
    """Return the sum of a gauge."""
    return f"sum({gauge}{_selector(matchers)})"


def share(failed: str, all_of_them: str) -> str:
    """Return the share of one rate in another: 0 when there is no traffic or nothing ever failed.

    Nothing comes out when the counter of all of them does not exist, so that the next candidate gets
    its turn.
    """
    return f"({failed} or {all_of_them} * 0) / ({all_of_them} > 0) or {all_of_them} * 0"


def p95(buckets: str, *matchers: str, per_second: float = 1) -> str:
    """Return the 95th percentile of a classic histogram, in milliseconds.

    Args:
        buckets: name of the ``_bucket`` series.
        matchers: further matchers.
        per_second: what one second is in the histogram's unit: 1, 1000 or 1,000,000.
    """
    quantile = f"histogram_quantile(0.95, sum by (le) (rate({buckets}{_selector(matchers)}[$(window)])))"
    factor = 1000 / per_second
    scaled = quantile if factor == 1 else f"{quantile} * {factor:g}"
    # Without traffic the quantile is NaN, which this comparison drops.
    return f"{scaled} >= 0"


def _selector(matchers: tuple[str, ...]) -> str:
    return f"{{{','.join(('$(scope)', *matchers))}}}"
