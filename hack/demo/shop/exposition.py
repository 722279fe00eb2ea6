"""What the shop tells Prometheus, by pod, under the names that most HTTP services use."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Upper bounds in seconds; those of the history too."""

_LABELS = ("namespace", "pod")


class Exposition:
    """The shop's metrics: requests by code, and a histogram of their duration.

    Args:
        namespace: of the shop.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests_total", "Requests answered.", (*_LABELS, "code"), registry=self._registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time from a request to its answer.",
            _LABELS,
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._pods: frozenset[str] = frozenset()

    def set_pods(self, pods: Iterable[str]) -> None:
        """Say which pods there are: a new one begins at zero, a gone one is told no more."""
        now = frozenset(pods)
        for pod in now - self._pods:
            self._requests.labels(self._namespace, pod, "200")
            self._seconds.labels(self._namespace, pod)
        for pod in self._pods - now:
            self._requests.remove_by_labels({"pod": pod})
            self._seconds.remove_by_labels({"pod": pod})
        self._pods = now

    def count(self, pod: str, code: int, seconds: float) -> None:
        """Count one answer; one of a pod that is gone is dropped, as its exporter would be."""
        if pod in self._pods:
            self._requests.labels(self._namespace, pod, str(code)).inc()
            self._seconds.labels(self._namespace, pod).observe(seconds)

    def text(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)
