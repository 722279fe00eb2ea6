"""Drift alerts as a person would have met them: one entry from the sync that raises it to the sync that ends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from twinops.api.twin.status import DriftAlert, Severity

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(slots=True)
class AlertSpan:
    """One alert that drift would have raised.

    Attributes:
        component: metric.
        direction: ``Above`` or ``Below``.
        since: Unix seconds since which the metric was outside.
        raised: index of the row at which the alert lasted long enough to be raised.
        until: index of the first row at which it did not last any more, None when it still does at the end.
        expected: what was expected when it was raised, as text.
        actual: what was there when it was furthest off, as text.
        percent: furthest deviation in percent of what was expected, None where that has no meaning.
        severity: the worst.
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
    """Collects what each sync says about drift.

    Attributes:
        spans: in the order in which they were raised.
    """

    def __init__(self) -> None:
        self.spans: list[AlertSpan] = []
        self._open: dict[tuple[str, str], AlertSpan] = {}

    def take(self, row: int, alerts: Iterable[DriftAlert]) -> bool:
        """Take in the alerts of one sync, and tell whether any of them lasts.

        Harmless ones, and those that don't last, are nothing that anybody is told of.
        """
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
