"""HorizontalPodAutoscalers as levers; the field is ``spec.minReplicas``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from twinops.adapters.kubernetes import managed_fields
from twinops.adapters.kubernetes.paths import resource_path
from twinops.api.references import ObjectRef, TargetRef
from twinops.core.lever import HPA_MIN_REPLICAS, Lever

API_VERSION: Final = "autoscaling/v2"
KIND: Final = HPA_MIN_REPLICAS.object_kind
FIELD: Final = HPA_MIN_REPLICAS.field
PLURAL: Final = "horizontalpodautoscalers"


def hpa_path(namespace: str, name: str | None = None) -> str:
    """Return the path of one HPA, or of all in the namespace."""
    return resource_path(API_VERSION, PLURAL, namespace=namespace, name=name)


def targets(reference: Mapping[str, Any], target: ObjectRef | TargetRef) -> bool:
    """Whether a scaleTargetRef names the target; of the API version only the group counts."""
    group = str(reference.get("apiVersion") or "").rpartition("/")[0]
    return (group, reference.get("kind"), reference.get("name")) == (
        target.api_version.rpartition("/")[0],
        target.kind,
        target.name,
    )


def controller_of(body: Mapping[str, Any]) -> str:
    """Return ``Kind/name`` of the object's controller, empty without one."""
    for owner in body["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""


def hpa_lever(body: Mapping[str, Any]) -> Lever:
    """Read an HPA as the API server sends it."""
    meta, spec = body["metadata"], body["spec"]
    minimum = spec.get("minReplicas")
    return Lever(
        object=ObjectRef(api_version=API_VERSION, kind=KIND, name=meta["name"]),
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        field=FIELD,
        value=minimum,
        minimum=HPA_MIN_REPLICAS.effective(minimum),
        maximum=spec["maxReplicas"],
        owners=managed_fields.owners(body, FIELD),
        declared=managed_fields.declared(body, FIELD),
        applied_value=managed_fields.applied_value(body, FIELD),
        controller=controller_of(body),
        original_annotation=managed_fields.original_annotation(body),
        raw=body,
    )


def without_bulk(lever: Lever) -> Lever:
    """Return the same lever with only names and versions in ``raw``, to save memory.

    ``managedFields`` and annotations, which can be large, are dropped; the lever's other fields hold what is used of
    them. ``hand_over`` reads the object again.
    """
    meta = lever.raw["metadata"]
    names = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion") if key in meta}
    return dataclasses.replace(lever, raw={"metadata": names})
