"""Which queries a twin's metrics have, which its forecaster was learned from, and which could not be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from twinops.core.metrics.queries import PARTIAL
from twinops.engine.forecast_input import REPLICAS, ForecastInput
from twinops.engine.read_failures import ReadFailures
from twinops.metric_definitions import CPU, MEAN_PER_POD

RELOAD_PAUSE = 300.0
"""Least seconds between two reads because of a changed query, so that a query that flaps costs little."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What a forecaster was learned from.

    Attributes:
        queries: by metric, and that of the number of pods under ``REPLICAS``.
        recorded: metrics whose history could be read.
        at: Unix seconds of the sync that it was read for.
    """

    queries: Mapping[str, str] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    at: float = 0.0


class HistoryQueries:
    """Compares the queries of a twin with those that its forecaster was learned from.

    Attributes:
        current: by metric, the newest known, and that of the number of pods under ``REPLICAS``.
        learned: what the forecaster was learned from.
        failures: of metrics whose history could not be read.
    """

    def __init__(self) -> None:
        self.current: dict[str, str] = {}
        self.learned = Learned()
        self.failures: dict[str, ReadFailures] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have a query, sorted."""
        return tuple(sorted(metric for metric in self.current if metric != REPLICAS))

    @property
    def complete(self) -> bool:
        """Whether no metric failed but those that were given up."""
        return all(failures.given_up for failures in self.failures.values())

    @property
    def pieces(self) -> dict[str, int]:
        """Of metrics that failed, the number of range queries that the next read of each is split into."""
        return {metric: failures.pieces for metric, failures in self.failures.items()}

    def follow(self, given: ForecastInput) -> None:
        """Take over the queries of a sync. A metric without a query keeps the one it had."""
        before = self.current
        queries = {metric: given.queries.get(metric) or before.get(metric, "") for metric in given.samples}
        # A CPU query without one is the user's own: the pods counted before are not those behind it.
        queries[REPLICAS] = given.replicas_query or ("" if given.queries.get(CPU) else before.get(REPLICAS, ""))
        self.current = {metric: promql for metric, promql in queries.items() if promql}
        self.failures = {metric: one for metric, one in self.failures.items() if not self._changed(metric)}

    def usable(self, given: ForecastInput) -> dict[str, float | None]:
        """Return the values of a sync that the forecaster may learn from, by metric.

        Values of another query than the one that the metric's history was read by are left out. So are totals over
        all pods while the number of pods is not known.
        """
        learned = self.learned.queries
        same = {metric for metric in self.metrics if learned.get(metric, self.current[metric]) == self.current[metric]}
        uncounted = bool(given.replicas_query) and given.replicas is None
        return {
            metric: sample.value
            for metric, sample in given.samples.items()
            if metric in same and sample.actionable and not (uncounted and metric in MEAN_PER_POD)
        }

    def must_reload(self, samples: Mapping[str, int], now: float, *, outdated: bool) -> bool:
        """Tell whether the history is to be read again: of other queries, or after a failure whose backoff is over.

        Args:
            samples: number of values that the forecaster has, by metric.
            now: Unix seconds.
            outdated: whether these values are of no use now; they are replaced once the queries have settled.
        """
        if self.current == self.learned.queries:
            return outdated or any(not failures.backing_off(now) for failures in self.failures.values())
        changed = {metric for metric in {*self.current, *self.learned.queries} if self._changed(metric)}
        known = self.current.keys() & self.learned.queries.keys()
        at_once = any(metric not in known or not samples.get(metric) for metric in changed)
        return at_once or not 0 <= now - self.learned.at < RELOAD_PAUSE

    def fail(self, failed: Mapping[str, str], now: float) -> None:
        """Count failures of a read of the whole history, and forget those of all other metrics.

        Args:
            failed: error by metric, as in ``RecordedHistory``.
            now: Unix seconds.
        """
        self.failures = {metric: self.failures.get(metric) or ReadFailures() for metric in failed}
        for metric, error in failed.items():
            self.failures[metric].add(now, error)

    def doubt(self, metrics: Iterable[str], now: float) -> None:
        """Note that a gap of these metrics could be read in part only: their whole history is read again, later."""
        doubted = frozenset(metrics)
        for metric in doubted:
            self.failures.setdefault(metric, ReadFailures()).add(now, PARTIAL)
        self.learned = dataclasses.replace(self.learned, recorded=self.learned.recorded - doubted)

    def learned_all(self, queries: Mapping[str, str], recorded: Collection[str]) -> bool:
        """Tell whether the forecaster was learned from these queries and recorded metrics, or more of them."""
        return queries == self.learned.queries and self.learned.recorded.issuperset(recorded)

    def _changed(self, metric: str) -> bool:
        return self.current.get(metric) != self.learned.queries.get(metric)
