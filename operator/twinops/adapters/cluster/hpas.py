"""HorizontalPodAutoscalers as levers: their ``spec.minReplicas``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twinops.adapters.cluster import managed_fields
from twinops.adapters.cluster.client import KubeClient, resource_path
from twinops.api.status import ObjectRef
from twinops.api.twin import TargetRef
from twinops.core.observation import Lever
from twinops.errors import NotFound, SpecError

API_VERSION: Final = "autoscaling/v2"
KIND: Final = "HorizontalPodAutoscaler"
FIELD: Final = "spec.minReplicas"
_PLURAL: Final = "horizontalpodautoscalers"


def hpa_path(namespace: str, name: str | None = None) -> str:
    """Return the path of one HPA, or of all in the namespace."""
    return resource_path(API_VERSION, _PLURAL, namespace=namespace, name=name)


async def find_hpa(client: KubeClient, namespace: str, target: TargetRef, name: str | None) -> Lever | None:
    """Return the named HPA, else the only one that targets the workload, else None.

    Raises:
        SpecError: HPANotFound, HPATargetsAnother or AmbiguousHPA.
        ClusterError: the API server did not answer.
    """
    if name is not None:
        return hpa_lever(await _named(client, namespace, target, name))
    found = (await client.list(hpa_path(namespace)))["items"]
    fitting = [body for body in found if targets(body["spec"].get("scaleTargetRef") or {}, target)]
    if len(fitting) > 1:
        names = ", ".join(sorted(body["metadata"]["name"] for body in fitting))
        raise SpecError(
            f"{names} all target {target.kind}/{target.name}: delete all but one, "
            "or name the right one in spec.autoCorrection.horizontalPodAutoscalerRef",
            reason="AmbiguousHPA",
        )
    return hpa_lever(fitting[0]) if fitting else None


async def _named(client: KubeClient, namespace: str, target: TargetRef, name: str) -> Mapping[str, Any]:
    mend = "correct spec.autoCorrection.horizontalPodAutoscalerRef"
    try:
        body = await client.get(hpa_path(namespace, name))
    except NotFound as error:
        raise SpecError(
            f"{KIND} {name} does not exist in namespace {namespace}: create it or {mend}", reason="HPANotFound"
        ) from error
    reference = body["spec"].get("scaleTargetRef") or {}
    if not targets(reference, target):
        raise SpecError(
            f"{KIND} {name} scales {reference.get('kind')}/{reference.get('name')}, "
            f"not {target.kind}/{target.name}: {mend}",
            reason="HPATargetsAnother",
        )
    return body


def targets(reference: Mapping[str, Any], target: TargetRef) -> bool:
    """Tell whether a scaleTargetRef names the target. The version does not matter, the group does."""
    group = str(reference.get("apiVersion") or "").rpartition("/")[0]
    return (group, reference.get("kind"), reference.get("name")) == (
        target.api_version.rpartition("/")[0],
        target.kind,
        target.name,
    )


def controller_of(body: Mapping[str, Any]) -> str:
    """Return ``Kind/name`` of the controller that owns the whole object, empty where there is none."""
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
        minimum=1 if minimum is None else minimum,
        maximum=spec["maxReplicas"],
        owners=managed_fields.owners(body, FIELD),
        declared=managed_fields.declared(body, FIELD),
        applied_value=managed_fields.applied_value(body, FIELD),
        controller=controller_of(body),
        witness=managed_fields.witness(body),
        raw=body,
    )
