"""``DigitalTwin.status``: what the operator has observed, forecast and decided. Every list and text is bounded.

It is written often, so that its JSON is short: fields with their default value are left out, and so is what would be
repeated many times (the generation of each condition, the time of each metric). ``from_wire`` fills that in again.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from twinops.api.base import ApiModel, StatusPart, Time, Word, without_empty
from twinops.api.conditions import Condition
from twinops.api.rules import ATOMIC, keyed_by
from twinops.api.twin.corrections import CorrectionRecord, Fight, Original, ReplicaStep, StartUp
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import MAX_OBSERVED, Health, ObservedMetric
from twinops.api.twin.predictions import MAX_RESTART_STATE, ForecastSkill, Prediction, Risk


class Summary(StatusPart):
    """One line for ``kubectl get``."""

    target: Annotated[Word, Field(description="The workload.")] = ""
    drift: Annotated[Word, Field(description="The worst drift.")] = ""
    replicas: Annotated[Word, Field(description="Ready and desired replicas.")] = ""
    predicted: Annotated[Word, Field(description="The likeliest risk, or what predictions wait for.")] = ""
    last_action: Annotated[Word, Field(description="The last decision about a correction.")] = ""


class DigitalTwinStatus(ApiModel):
    """What the operator has seen, foresees and decided."""

    # One owner: the operator replaces it as a whole. The API server then tracks no field of it, which would take
    # two kilobytes of every object.
    model_config = ConfigDict(json_schema_extra=ATOMIC)

    observed_generation: Annotated[
        int, Field(ge=-1, description="Generation that this status speaks of; -1 before the first look.")
    ] = -1
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            description="Ready: spec accepted, target found, metrics answering. The workload's own state stands in "
            "Healthy, Drifted and the others.",
            json_schema_extra=keyed_by("type"),
        ),
    ] = []
    summary: Annotated[Summary | None, Field(description="One line for kubectl get.")] = None
    health_score: Annotated[
        int | None, Field(ge=0, le=100, description="0 to 100; left out while no metric is known.")
    ] = None
    health: Annotated[Health | None, Field(description="How the health score came about.")] = None
    observed: Annotated[
        list[ObservedMetric], Field(max_length=MAX_OBSERVED, description="The last answer for every metric.")
    ] = []
    observed_time: Annotated[
        Time | None, Field(description="Time of the newest sample of every metric in observed that has no own time.")
    ] = None
    predictions: Annotated[
        list[Prediction], Field(max_length=6, description="What is foreseen, one entry per horizon.")
    ] = []
    risks: Annotated[
        list[Risk], Field(max_length=MAX_OBSERVED, description="Limits that are foreseen to be crossed.")
    ] = []
    forecast_skill: Annotated[
        ForecastSkill | None, Field(description="How good forecasts have been; confidence is 1 less its error.")
    ] = None
    restart_state: Annotated[
        str,
        Field(
            max_length=MAX_RESTART_STATE,
            description="What the forecasts of a restarted operator resume from: packed, not meant to be read, or "
            "written, by others.",
        ),
    ] = ""
    drift: Annotated[Drift, Field(description="Expected against actual.")] = Drift()
    replicas: Annotated[int | None, Field(description="Ready replicas of the target.")] = None
    recommended_replicas: Annotated[int | None, Field(description="What the twin would run now, in every mode.")] = None
    need_below_since: Annotated[
        Time | None, Field(description="Since when the need has been below what the twin holds.")
    ] = None
    corrections: Annotated[
        list[CorrectionRecord], Field(max_length=10, description="The last ten decisions, oldest first.")
    ] = []
    originals: Annotated[
        list[Original],
        Field(max_length=4, description="Values as they were before the first correction, for giving them back."),
    ] = []
    replica_steps: Annotated[
        list[ReplicaStep],
        Field(
            max_length=8,
            description="How metrics that ask for more replicas have answered to the last ones.",
            json_schema_extra=keyed_by("metric"),
        ),
    ] = []
    start_up: Annotated[StartUp | None, Field(description="Set while pods start up.")] = None
    fight: Annotated[Fight | None, Field(description="Set while somebody else puts back what the twin writes.")] = None
    samples_collected: Annotated[
        int | None, Field(description="Samples at hand, the least over the metrics that are predicted.")
    ] = None
    failed_syncs: Annotated[
        int, Field(ge=0, description="Syncs in a row in which the metrics backend or the API server failed.")
    ] = 0
    failing_since: Annotated[
        Time | None, Field(description="Since when the metrics backend or the API server has failed.")
    ] = None
    last_sync_time: Annotated[Time | None, Field(description="When the last sync ended.")] = None
    last_handled_sync_request: Annotated[
        str | None,
        Field(
            max_length=256, description="Value of the annotation twinops.dev/sync-requested-at that was last answered."
        ),
    ] = None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON-ready form, without defaults and repetitions."""
        wire = without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True))
        # What is often asked for is always there.
        wire |= {"observedGeneration": self.observed_generation, "failedSyncs": self.failed_syncs}
        wire["drift"] = {"detected": self.drift.detected, **wire.get("drift", {})}
        for judged in (*wire["drift"].get("alerts", ()), *wire.get("risks", ())):
            judged.setdefault("persistent", False)
        if self.originals:
            # In full, as what is given back later must not rest on a default.
            wire["originals"] = [original.to_wire() for original in self.originals]
        for condition in wire.get("conditions", ()):
            if condition.get("observedGeneration") == self.observed_generation:
                del condition["observedGeneration"]
        times = Counter(metric["time"] for metric in wire.get("observed", ()) if "time" in metric)
        # A metric without a time must not be given one.
        if times.total() > 1 and times.total() == len(wire["observed"]):
            [(common, _)] = times.most_common(1)
            wire["observedTime"] = common
            for metric in wire["observed"]:
                if metric["time"] == common:
                    del metric["time"]
        return wire

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, data: Any) -> Any:
        """Fill in what ``to_wire`` leaves out as a repetition."""
        if not isinstance(data, dict):
            return data
        common, generation = data.get("observedTime"), data.get("observedGeneration")
        if common is None and generation is None:
            return data
        filled = {key: value for key, value in data.items() if key != "observedTime"}
        if common is not None:
            filled["observed"] = _with(filled.get("observed"), "time", common)
        if generation is not None and generation >= 0:
            filled["conditions"] = _with(filled.get("conditions"), "observedGeneration", generation)
        return filled


def _with(entries: Any, key: str, value: Any) -> Any:
    """Return JSON objects with a field where they have none; anything else as it is."""
    if not isinstance(entries, list):
        return [] if entries is None else entries
    return [{key: value, **entry} if isinstance(entry, dict) else entry for entry in entries]
