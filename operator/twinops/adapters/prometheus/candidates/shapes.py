"""Forms that the queries of all exporters share.

The same process is often scraped more than once: by two monitors, by both of a pair of Prometheus servers whose series
nobody has merged, through two Services. So duplicates are removed before anything is summed:

- a *thing* is the pod, or the scraped address of an exporter that runs apart from what it measures;
- a *view* of it is what one job of one Prometheus server has scraped of it. All series of a view are summed, whatever
  labels the exporter itself gives them (code, method, topic, container…); of several views of one thing one counts;
- within a view, series that differ only in the *ways* are the same one twice: reached through two Services, or before
  and after its container was restarted.

Of a rate the largest counts: of two that are measured of the same counter it is the one with fewer gaps, and of a
counter before and after a restart the one that fills more of the window. Of a gauge the newest sample counts, since the
last value of what is gone stands for minutes beside that of its successor.

``endpoint`` is no way: monitors write a port's name there, and many applications a path of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

PODS = 'namespace="$(namespace)",pod=~"$(podRegex)"'
"""Matchers of what is scraped from the target's own pods, as the Kubernetes service discovery labels it."""

NAMESPACE = 'namespace="$(namespace)"'
"""Matcher of what is scraped beside the target; ``spec.source.labels`` must say which series are its."""


@dataclass(frozen=True, slots=True)
class Thing:
    """What counts once, however often it is scraped.

    Attributes:
        each: labels that name it.
        ways: labels that only show how it was reached.
        name: label to be made of the pod's name, or the address where there is none; empty for none.
    """

    each: str
    ways: str
    name: str = ""


SCRAPED = Thing("$(each)", "$(ways)")
"""The target's pods, or the addresses of exporters that run apart from it: placeholders, filled in by ``promql``."""

PROXY = Thing("proxy", "container_id, instance, pod_ip, service, uid", "proxy")
"""Proxies whose labels name the workload of their traffic, so that their series are found without the name of a pod."""

_VIEWS = "$(views)"
"""A placeholder: the job, and the labels that distinguish servers. A label that a view lacks counts as empty."""


def rate(counter: str, *matchers: str, of: Thing = SCRAPED) -> str:
    """Return the total rate of a counter, per second.

    Args:
        counter: name of the series.
        matchers: further matchers.
        of: what counts once.
    """
    return f"sum({_once(counter, matchers, of, of.each)})"


def total(gauge: str, *matchers: str, of: Thing = SCRAPED) -> str:
    """Return the sum of a gauge; arguments as of ``rate``."""
    return f"sum({newest(gauge, *matchers, of=of)})"


def newest(gauge: str, *matchers: str, of: Thing = SCRAPED) -> str:
    """Return the series of a gauge, of each thing those of the view that was scraped last; arguments as of ``rate``."""
    series = f"{gauge}{_selector(matchers)}"
    view = f"{of.each}, {_VIEWS}, {of.ways}"
    return f"({series} and on ({view}) topk by ({of.each}) (1, max by ({view}) (timestamp({series}))))"


def share(failed: str, all_of_them: str) -> str:
    """Return the share of one rate in another: 0 when there is no traffic or nothing ever failed.

    Nothing comes out when the counter of all of them does not exist, so that the next candidate gets
    its turn.
    """
    return f"{failed} / ({all_of_them} > 0) or {all_of_them} * 0"


def p95(buckets: str, *matchers: str, per_second: float = 1, of: Thing = SCRAPED) -> str:
    """Return the 95th percentile of a classic histogram, in milliseconds.

    Args:
        buckets: name of the ``_bucket`` series.
        matchers: further matchers.
        per_second: what one second is in the histogram's unit: 1, 1000 or 1,000,000.
        of: what counts once.
    """
    quantile = f"histogram_quantile(0.95, sum by (le) ({_once(buckets, matchers, of, f'{of.each}, le')}))"
    factor = 1000 / per_second
    scaled = quantile if factor == 1 else f"{quantile} * {factor:g}"
    # Without traffic the quantile is NaN, which this comparison drops.
    return f"{scaled} >= 0"


def _once(counter: str, matchers: tuple[str, ...], of: Thing, each: str) -> str:
    rates = f"rate({counter}{_selector(matchers)}[$(window)])"
    if of.name:
        rates = f'label_replace({rates}, "{of.name}", "$1", "instance", "(.*)")'
        rates = f'label_replace({rates}, "{of.name}", "$1", "pod", "(.+)")'
    return f"max by ({each}) (sum by ({each}, {_VIEWS}) (max without ({of.ways}) ({rates})))"


def _selector(matchers: tuple[str, ...]) -> str:
    return f"{{{','.join(('$(scope)', *matchers))}}}"
