"""The ``/scale`` of a target as a lever, for workloads without an HPA; the field is ``spec.replicas``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twinops.adapters.kubernetes import managed_fields
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.hpa_cache import KEDA, SCALED_OBJECTS, ScaledObjectCache, scaled_object_target
from twinops.adapters.kubernetes.hpas import controller_of, targets
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.targets import PLURALS
from twinops.api.references import ObjectRef, TargetRef
from twinops.core.lever import SCALE_REPLICAS, Lever
from twinops.errors import NotFound, SpecError, TargetNotFound

SCALE_API_VERSION: Final = "autoscaling/v1"
SCALE_KIND: Final = "Scale"
FIELD: Final = SCALE_REPLICAS.field


async def object_path(discovery: Discovery, namespace: str, reference: ObjectRef | TargetRef) -> str:
    """Return the path of a scalable object.

    Raises:
        NotFound: its kind is not served.
        ClusterError: the API server did not answer.
    """
    resource = await discovery.find(reference.api_version, reference.kind)
    return resource_path(reference.api_version, resource.plural, namespace=namespace, name=reference.name)


async def find_scale(
    client: KubeClient,
    discovery: Discovery,
    scaled: ScaledObjectCache | None,
    namespace: str,
    target: TargetRef,
    *,
    kept: Lever | None,
) -> Lever:
    """Return the target's ``/scale``. To be used only when no HPA targets it.

    Args:
        client: of the API server.
        discovery: paths of kinds.
        scaled: watched ScaledObjects; without it they are listed.
        namespace: of the target.
        target: whose ``/scale`` is wanted.
        kept: it as the watch knows it; None to read it live.

    Raises:
        SpecError: ManagedByKEDA, TargetNotFound or UnsupportedScale.
        ClusterError: the API server did not answer, or a right is missing.
    """
    known = None if scaled is None else scaled.scaling(namespace, target)
    forbidden = None if scaled is None else scaled.watched.forbidden(namespace)
    if known is None and forbidden is not None:
        # The same error object is raised at every sync: without this its traceback would grow each time.
        raise forbidden.with_traceback(None)
    if known is None:
        await refuse_keda(client, namespace, target)
    elif known:
        raise _managed_by_keda(known, target)
    if kept is not None:
        return kept
    reference = ObjectRef(api_version=target.api_version, kind=target.kind, name=target.name)
    try:
        return await read_scale(client, discovery, namespace, reference)
    except NotFound as error:
        raise TargetNotFound(
            f"{target.kind}/{target.name} does not exist in namespace {namespace}: "
            "create it or correct spec.source.targetRef"
        ) from error


async def read_scale(client: KubeClient, discovery: Discovery, namespace: str, reference: ObjectRef) -> Lever:
    """Read the object, and its ``/scale`` where the object's own fields do not say all of it.

    Raises:
        NotFound: there is no such object, or it has no ``/scale``.
        SpecError: UnsupportedScale.
        ClusterError: the API server did not answer.
    """
    path = await object_path(discovery, namespace, reference)
    scale = None if (reference.api_version, reference.kind) in PLURALS else await client.get(f"{path}/scale")
    return scale_lever(reference, await client.get(path), scale)


def scale_lever(reference: ObjectRef, body: Mapping[str, Any], scale: Mapping[str, Any] | None) -> Lever:
    """Read a scalable object and its ``/scale`` as the API server sends them.

    Args:
        reference: names the object.
        body: the object.
        scale: its ``/scale``; None for the kinds whose ``/scale`` is known to set ``spec.replicas``.

    Raises:
        SpecError: ``/scale`` sets another field than ``spec.replicas``, whose owners would be unknown.
    """
    meta, value = body["metadata"], (body.get("spec") or {}).get("replicas")
    if value is None and scale is not None and (scale.get("spec") or {}).get("replicas"):
        raise SpecError(
            f"/scale of {reference.kind} sets another field than {FIELD}; only that one can be corrected: "
            "give the workload an HPA",
            reason="UnsupportedScale",
        )
    return Lever(
        object=reference,
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        field=FIELD,
        value=value,
        minimum=None,
        maximum=None,
        owners=managed_fields.owners(body, FIELD),
        declared=managed_fields.declared(body, FIELD),
        applied_value=managed_fields.applied_value(body, FIELD),
        controller=controller_of(body),
        raw=body,
    )


async def refuse_keda(client: KubeClient, namespace: str, target: ObjectRef | TargetRef) -> None:
    """Check with a list that no ScaledObject scales the object.

    Raises:
        SpecError: ManagedByKEDA.
        ClusterError: the API server did not answer.
    """
    try:
        found = (await client.list(resource_path(KEDA, SCALED_OBJECTS, namespace=namespace)))["items"]
    except NotFound:
        # KEDA is not installed.
        return
    for body in found:
        if targets(scaled_object_target(body), target):
            raise _managed_by_keda(str(body["metadata"]["name"]), target)


def _managed_by_keda(name: str, target: ObjectRef | TargetRef) -> SpecError:
    return SpecError(
        f"ScaledObject {name} scales {target.kind}/{target.name}: KEDA would put any other value back. "
        "Let a trigger of it read twinops_recommended_replicas instead",
        reason="ManagedByKEDA",
    )
