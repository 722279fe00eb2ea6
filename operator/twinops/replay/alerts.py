"""Drift alerts over time: one span per alert, from the sync that raises it to the sync that ends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from twinops.api.twin.drift import DriftAlert, Severity

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(slots=True)
class AlertSpan:
    """One drift alert that would have been raised.

    Attributes:
        component: metric.
        direction: ``Above`` or ``Below``.
        since: Unix seconds at which the metric left its threshold.
        raised: row at which the alert became persistent.
        until: first row at which it was no longer persistent, None when it still is at the end.
        expected: what was expected when it was raised, as text.
        actual: value at the largest deviation, as text.
        percent: largest deviation in percent of the expected value, None where that is undefined.
        severity: the highest.
    """

    component: str
    direction: str
    since: float
    raised: int
    until: int | None
    expected: str
    actual: str
    percent: float | None
    severity: str


class AlertLog:
    """Collects the drift alerts of each sync into spans.

    Attributes:
        spans: in the order of their first row.
    """

    def __init__(self) -> None:
        self.spans: list[AlertSpan] = []
        self._open: dict[tuple[str, str], AlertSpan] = {}

    def take(self, row: int, alerts: Iterable[DriftAlert]) -> bool:
        """Add the alerts of one sync. Returns whether any of them is persistent and harmful; others are ignored."""
        lasting = {(a.component, a.direction.value): a for a in alerts if a.persistent and not a.harmless}
        for key in [key for key in self._open if key not in lasting]:
            self._open.pop(key).until = row
        for key, alert in lasting.items():
            if key not in self._open:
                self._open[key] = AlertSpan(
                    alert.component, alert.direction.value, alert.since.timestamp(), row, None, alert.expected,
                    alert.actual, alert.deviation_percent, alert.severity.value,
                )  # fmt: skip
                self.spans.append(self._open[key])
            else:
                _worsen(self._open[key], alert)
        return bool(lasting)

    def closed(self) -> tuple[AlertSpan, ...]:
        """Return copies of all spans."""
        return tuple(dataclasses.replace(span) for span in self.spans)


def _worsen(span: AlertSpan, alert: DriftAlert) -> None:
    percent = alert.deviation_percent
    if percent is not None and (span.percent is None or abs(percent) > abs(span.percent)):
        span.percent, span.actual, span.expected = percent, alert.actual, alert.expected
    if _RANK[alert.severity] > _RANK[Severity(span.severity)]:
        span.severity = alert.severity.value
