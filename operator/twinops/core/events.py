"""Kubernetes Events as data, and which object each of them is about.

The core does not have name and namespace of the twin: its events are about ``TWIN``, or about an object in the twin's
namespace. ``of_twin`` fills in both before an event is posted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from twinops.api import API_VERSION
from twinops.core.lever import Lever
from twinops.core.observation import Workload

NORMAL = "Normal"
WARNING = "Warning"

_TWIN_KIND = "DigitalTwin"


@dataclass(frozen=True, slots=True)
class InvolvedObject:
    """The object that an Event is about, ``involvedObject`` of the API.

    Attributes:
        api_version: as in the API, with the group.
        kind: as in the API.
        name: of the object, empty in ``TWIN``.
        namespace: empty for a cluster-scoped object, and in events of the core for the twin's own namespace.
        uid: empty where it is not known.
        resource_version: of the object as it was read, empty where it is not known.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


TWIN = InvolvedObject(API_VERSION, _TWIN_KIND, "")
"""Stands for the twin itself in events of the core."""


@dataclass(frozen=True, slots=True)
class Event:
    """One Event to post.

    Attributes:
        about: the object that it is about.
        type: ``NORMAL`` or ``WARNING``.
        reason: CamelCase.
        message: a sentence.
    """

    about: InvolvedObject
    type: str
    reason: str
    message: str


def about_twin(namespace: str, name: str, uid: str, resource_version: str) -> InvolvedObject:
    """Return the reference to this twin."""
    return InvolvedObject(API_VERSION, _TWIN_KIND, name, namespace, uid, resource_version)


def about_lever(lever: Lever) -> InvolvedObject:
    """Return the reference to the object that a correction changes, in the twin's namespace."""
    return InvolvedObject(lever.object.api_version, lever.object.kind, lever.object.name, uid=lever.uid)


def about_workload(workload: Workload | None) -> InvolvedObject | None:
    """Return the reference to the twin's target, in the twin's namespace; None where there is none."""
    if workload is None:
        return None
    return InvolvedObject(workload.ref.api_version, workload.ref.kind, workload.ref.name, uid=workload.uid)


def of_twin(event: Event, twin: InvolvedObject) -> Event:
    """Return an event of the core with the twin in place of ``TWIN``, or with the twin's namespace."""
    about = twin if event.about == TWIN else replace(event.about, namespace=twin.namespace)
    return replace(event, about=about)
