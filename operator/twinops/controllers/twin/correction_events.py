"""Events about corrections: on the twin, on what was changed, and on the workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twinops.api import API_VERSION
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.correction.settle import Settled
from twinops.core.observation import Lever, LeverKey, Observation
from twinops.core.status.events import Note
from twinops.ports.kubernetes import EventNote, TwinRef


def about_objects(ref: TwinRef, settled: Settled, levers: Mapping[LeverKey, Lever]) -> Iterable[EventNote]:
    """Yield what settling has found out: on the twin, and on the object that it is about."""
    objects = {key[0]: lever for key, lever in levers.items()}
    for reference, note in settled.notes:
        yield about_twin(ref, note)
        if reference in objects:
            yield about(lever_ref(ref, objects[reference]), note)


def about_twin(ref: TwinRef, note: Note) -> EventNote:
    """Return an Event about the twin itself."""
    return about(_involved(ref, API_VERSION, "DigitalTwin", ref.name, ref.uid), note)


def about(involved: Mapping[str, str], note: Note) -> EventNote:
    """Return an Event about this object."""
    return EventNote(involved=involved, kind=note.kind, reason=note.reason, message=note.message)


def lever_ref(ref: TwinRef, lever: Lever) -> Mapping[str, str]:
    """Return the reference by which an Event names a lever."""
    return _involved(ref, lever.object.api_version, lever.object.kind, lever.object.name, lever.uid)


def target_ref(ref: TwinRef, spec: DigitalTwinSpec, observation: Observation) -> Mapping[str, str] | None:
    """Return the reference by which an Event names the workload, None where there is none."""
    target, workload = spec.source.target_ref, observation.workload
    if target is None or workload is None:
        return None
    return _involved(ref, target.api_version, target.kind, target.name, workload.uid)


def _involved(ref: TwinRef, api_version: str, kind: str, name: str, uid: str) -> Mapping[str, str]:
    return {"apiVersion": api_version, "kind": kind, "namespace": ref.namespace, "name": name, "uid": uid}
