"""Reading the twin's object, as any client of the API would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demo import scenario

Json = dict[str, Any]

PATH = f"/apis/twinops.dev/v1alpha1/namespaces/{scenario.TWINNED}/digitaltwins/{scenario.APP}"

_CARRIED_OUT = frozenset({"Applied", "Verified"})


@dataclass(frozen=True, slots=True)
class Twin:
    """A DigitalTwin as it was read; everything is empty while it has no status."""

    object: Json

    @property
    def status(self) -> Json:
        """The whole status."""
        status: Json = self.object.get("status", {})
        return status

    @property
    def health(self) -> int | None:
        """The health score, 0..100."""
        return self.status.get("healthScore")

    @property
    def risks(self) -> list[Json]:
        """Limits that are foreseen to be crossed."""
        return list(self.status.get("risks", []))

    @property
    def alerts(self) -> list[Json]:
        """What is not as expected."""
        return list(self.status.get("drift", {}).get("alerts", []))

    def condition(self, kind: str) -> str:
        """Return the status of a condition (`True`, `False`, `Unknown`), empty when it is not there."""
        for condition in self.status.get("conditions", []):
            if condition["type"] == kind:
                return str(condition["status"])
        return ""

    def observed(self, metric: str) -> float | None:
        """Return the last value of a metric, None when it is not known."""
        for sample in self.status.get("observed", []):
            if sample["name"] == metric:
                return float(sample["value"]) if sample.get("value") is not None else None
        return None

    def foreseen(self, metric: str) -> float | None:
        """Return the largest .95 quantile of a metric's predictions, None when there are none."""
        values = [
            quantiles[metric][-1]
            for prediction in self.status.get("predictions", [])
            if metric in (quantiles := prediction["quantiles"])
        ]
        return max(values, default=None)

    def raises(self) -> list[Json]:
        """Return the corrections that raised the replicas and were carried out, in the status' order."""
        return [
            record
            for record in self.status.get("corrections", [])
            if record["action"] == "Raise" and record["outcome"] in _CARRIED_OUT
        ]
