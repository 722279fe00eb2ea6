"""Drift alerts over several syncs: when one is listed, when it is persistent, and when a correction may use it.

An alert is identified by ``component`` and ``direction``: a value that swings from far below to far above gives two
alerts, each with its own window.

- It is listed at the first sync outside. It is removed when it is not persistent and the last three syncs were
  inside: from then on its window could not make it persistent any more. Until then it keeps its ``since`` and its
  window, also at syncs that find the value inside.
- It is persistent by the rule of :mod:`twinops.core.assess.debounce`.
- A sample counts once, however many syncs read it; after a gap in the data (``debounce.after_gap``) the alert starts
  anew.
- Without a fresh value it stays as it was, window included, but is not eligible for a correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from twinops.api.base import utc
from twinops.api.twin.drift import Direction, DriftAlert
from twinops.core.assess.debounce import ENOUGH, WINDOW, after_gap, is_new, persistent, push
from twinops.core.assess.deviation import Finding

NO_TRAFFIC = "no traffic"
"""The actual value of an alert whose metric has nothing to measure."""


@dataclass(frozen=True, slots=True)
class AlertUpdates:
    """Turns the findings of one sync into alerts, given the alerts of the sync before.

    Attributes:
        previous: the alerts of the last status, by component and direction.
        now: Unix seconds of this sync.
        interval: seconds between two syncs.
    """

    previous: Mapping[tuple[str, Direction], DriftAlert]
    now: float
    interval: float

    @classmethod
    def after(cls, alerts: Sequence[DriftAlert], now: float, interval: float) -> AlertUpdates:
        """Return the updates of a sync at ``now`` that follows the one with these alerts."""
        return cls({(alert.component, alert.direction): alert for alert in alerts}, now, interval)

    def of(self, finding: Finding, at: float) -> DriftAlert | None:
        """Return the alert that a finding raises or continues, None when there is none to list.

        Args:
            finding: of this sync.
            at: Unix seconds of the data behind it.
        """
        before = self.previous.get((finding.component, finding.direction))
        if before is not None and after_gap(before.last_data_time, at, self.interval):
            before = None
        if before is None and not finding.outside:
            return None
        counts = before is None or is_new(before.last_data_time, at)
        recent, lasts = _window(finding, before, counts=counts)
        if not finding.outside and not lasts and (recent.endswith("0" * ENOUGH) or not finding.has_threshold):
            return None
        reason = _not_eligible(finding, recent, lasts=lasts, before=before)
        return DriftAlert(
            component=finding.component,
            severity=finding.severity,
            direction=finding.direction,
            expected=finding.expected,
            actual=finding.actual,
            deviation_percent=finding.deviation_percent,
            threshold_percent=finding.threshold_percent,
            since=_since(finding, before, self.now),
            recent=recent,
            last_data_time=utc(at) if before is None or counts else before.last_data_time,
            persistent=lasts,
            harmless=finding.harmless,
            learned=finding.learned,
            recommendation=finding.recommendation,
            eligible=not reason,
            not_eligible_reason=reason,
        )

    def idle(self, component: str, at: float | None) -> Iterator[DriftAlert]:
        """Yield the alerts of a metric that has nothing to measure: its value counts as inside.

        Args:
            component: name of the metric.
            at: Unix seconds of the sample that shows that there is no traffic, None for this sync.
        """
        for before in self._of_component(component):
            finding = Finding(
                component=component,
                direction=before.direction,
                severity=before.severity,
                expected=before.expected,
                actual=NO_TRAFFIC,
                outside=False,
                cleared=True,
                recommendation="there is no traffic: nothing to do unless it comes back with it",
                obstacle="",
                threshold_percent=before.threshold_percent,
                harmless=before.harmless,
                learned=before.learned,
            )
            if alert := self.of(finding, self.now if at is None else at):
                yield alert

    def unchanged(self, component: str, reason: str) -> Iterator[DriftAlert]:
        """Yield the alerts of a component without new data, not eligible for this reason."""
        for alert in self._of_component(component):
            yield alert.model_copy(update={"eligible": False, "not_eligible_reason": reason})

    def _of_component(self, component: str) -> Iterator[DriftAlert]:
        return (alert for alert in self.previous.values() if alert.component == component)


def _window(finding: Finding, before: DriftAlert | None, *, counts: bool) -> tuple[str, bool]:
    """Return the window, with this sync in it if it counts, and whether the alert is persistent."""
    if not finding.has_threshold:
        return "", False
    recent = "" if before is None else before.recent
    if counts:
        recent = push(recent, finding.outside)
    was = before is not None and before.persistent
    return recent, persistent(recent, was, finding.cleared)


def _since(finding: Finding, before: DriftAlert | None, now: float) -> datetime:
    if finding.since is not None:
        return utc(finding.since)
    return utc(now) if before is None else before.since


def _not_eligible(finding: Finding, recent: str, *, lasts: bool, before: DriftAlert | None) -> str:
    """Return why no correction may be based on the alert, empty where one may."""
    if finding.obstacle:
        return finding.obstacle
    if finding.cleared:
        return "back inside its threshold"
    if not lasts:
        return f"outside in {recent.count('1')} of the last {WINDOW} syncs; a correction waits for {ENOUGH}"
    was_eligible = before is not None and before.eligible
    if finding.ends_correction or not (finding.starts_correction or was_eligible):
        return "the deviation is small; a correction needs a larger one"
    return ""
