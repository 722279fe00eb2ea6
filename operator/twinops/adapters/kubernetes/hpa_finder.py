"""Finds the HPA of a target: in the watched copy while that is current, else by a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.hpa_cache import HpaCache
from twinops.adapters.kubernetes.hpas import KIND, hpa_lever, hpa_path, targets
from twinops.api.references import TargetRef
from twinops.core.lever import Lever
from twinops.errors import NotFound, SpecError


async def find_hpa(
    client: KubeClient, cache: HpaCache | None, namespace: str, target: TargetRef, name: str | None
) -> Lever | None:
    """Return the named HPA, else the only one that targets the workload, else None.

    Raises:
        SpecError: HPANotFound, HPATargetsAnother or AmbiguousHPA.
        ClusterError: the API server did not answer, or a right is missing.
    """
    if name is not None:
        return await _named(client, cache, namespace, target, name)
    fitting = None if cache is None else cache.targeting(namespace, target)
    if fitting is None:
        fitting = await _listed(client, cache, namespace, target)
    if len(fitting) > 1:
        names = ", ".join(sorted(lever.object.name for lever in fitting))
        raise SpecError(
            f"{names} all target {target.kind}/{target.name}: delete all but one, "
            "or name the right one in spec.autoCorrection.horizontalPodAutoscalerRef",
            reason="AmbiguousHPA",
        )
    return fitting[0] if fitting else None


async def _listed(client: KubeClient, cache: HpaCache | None, namespace: str, target: TargetRef) -> list[Lever]:
    forbidden = None if cache is None else cache.watched.forbidden(namespace)
    if forbidden is not None:
        # The same error object is raised at every sync: without this its traceback would grow each time.
        raise forbidden.with_traceback(None)
    found = (await client.list(hpa_path(namespace)))["items"]
    return [hpa_lever(body) for body in found if targets(body["spec"].get("scaleTargetRef") or {}, target)]


async def _named(client: KubeClient, cache: HpaCache | None, namespace: str, target: TargetRef, name: str) -> Lever:
    kept = None if cache is None else cache.named(namespace, name)
    if kept is not None and kept.lever is not None:
        _, group, kind, scaled = kept.scales
        reference: Mapping[str, Any] = {"apiVersion": f"{group}/", "kind": kind, "name": scaled}
        return _checked(kept.lever, reference, target)
    mend = "correct spec.autoCorrection.horizontalPodAutoscalerRef"
    try:
        body = await client.get(hpa_path(namespace, name))
    except NotFound as error:
        raise SpecError(
            f"{KIND} {name} does not exist in namespace {namespace}: create it or {mend}", reason="HPANotFound"
        ) from error
    return _checked(hpa_lever(body), body["spec"].get("scaleTargetRef") or {}, target)


def _checked(lever: Lever, reference: Mapping[str, Any], target: TargetRef) -> Lever:
    if not targets(reference, target):
        raise SpecError(
            f"{KIND} {lever.object.name} scales {reference.get('kind')}/{reference.get('name')}, "
            f"not {target.kind}/{target.name}: correct spec.autoCorrection.horizontalPodAutoscalerRef",
            reason="HPATargetsAnother",
        )
    return lever
