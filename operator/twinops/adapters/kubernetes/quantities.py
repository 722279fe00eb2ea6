"""Kubernetes quantities, and the requests and limits of pods.

Sources: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/, and for what counts as a
pod's request the HPA controller (``pkg/controller/podautoscaler/replica_calculator.go``), with which the figures agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

CPU: Final = "cpu"
MEMORY: Final = "memory"
_NOTHING: Final[Mapping[str, Any]] = {}


def quantity(text: Any) -> float | None:
    """Return a quantity such as ``250m``, ``1e3`` or ``2Gi`` as a number, None for an invalid one."""
    try:
        value = float(parse_quantity(text))  # type: ignore[no-untyped-call]  # ships no types
    except (ValueError, ArithmeticError):
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Usable:
    """Limits and requests of one pod for one resource, in cores or bytes.

    Attributes:
        limits: the pod-level limit, else the sum over its containers; None when a container has none.
        requests: likewise.
        unlimited: name of the first container with neither, empty when all have one.
    """

    limits: float | None
    requests: float | None
    unlimited: str = ""


@dataclass(frozen=True, slots=True)
class PodResources:
    """Limits and requests of one pod.

    Attributes:
        containers: names of the containers that run as long as the pod, sorted: native sidecars (init containers with
            ``restartPolicy: Always``) included, other init containers and ephemeral ones not.
        cpu: in cores.
        memory: in bytes.
    """

    containers: tuple[str, ...]
    cpu: Usable
    memory: Usable


@dataclass(frozen=True, slots=True)
class Capacity:
    """Mean limit or request per pod of one resource.

    Attributes:
        amount: cores or bytes, None when unknown.
        basis: ``limits`` or ``requests``, empty when unknown.
        problem: the container that has neither.
    """

    amount: float | None = None
    basis: str = ""
    problem: str = ""


def pod_resources(spec: Mapping[str, Any], status: Mapping[str, Any] = _NOTHING) -> PodResources:
    """Return limits and requests of a pod.

    Limits are the ones in force, as the kubelet reports them in status: an in-place resize shows there later than in
    the spec. Requests are the spec's, as in the HPA controller.

    Args:
        spec: of the pod, or of a pod template.
        status: of the pod; empty for a template.
    """
    containers = _long_running(spec)
    names = tuple(sorted(str(each.get("name") or "") for each in containers))
    in_force = {
        each["name"]: (each.get("resources") or {}).get("limits") or {}
        for kind in ("containerStatuses", "initContainerStatuses")
        for each in status.get(kind) or ()
    }
    own = spec.get("resources") or {}
    return PodResources(names, *(_usable(containers, own, in_force, resource) for resource in (CPU, MEMORY)))


def capacity(pods: Mapping[str, Usable]) -> Capacity:
    """Return the mean limit per pod when every container of every pod has one, else the mean request likewise.

    Mean usage divided by this mean equals total usage divided by the total, also when pods differ.

    Args:
        pods: by the name that a problem is reported with.
    """
    for basis in ("limits", "requests"):
        given = [getattr(usable, basis) for usable in pods.values()]
        known = [value for value in given if value is not None]
        if known and len(known) == len(given):
            return Capacity(sum(known) / len(known), basis)
    # Report the first pod without a request: limits imply requests, so that one has neither.
    lacking = next(((name, usable.unlimited) for name, usable in pods.items() if usable.requests is None), None)
    return Capacity() if lacking is None else Capacity(problem=f"container {lacking[1]} of {lacking[0]}")


def _usable(
    containers: Sequence[Mapping[str, Any]],
    own: Mapping[str, Any],
    in_force: Mapping[str, Mapping[str, Any]],
    resource: str,
) -> Usable:
    limits = [_limit(each, in_force, resource) for each in containers]
    requests = [_request(each, resource) for each in containers]
    lacking = (str(each.get("name")) for each, request in zip(containers, requests, strict=True) if request is None)
    own_requests = own.get("requests") or {}
    request = _total(requests)
    if own_requests:
        # With any pod-level request, containers without a request count as 0.
        request = quantity(own_requests.get(resource)) or _total([value or 0.0 for value in requests])
    elif (own.get("limits") or {}).get(resource) and request is None:
        # The API server defaults pod-level requests from limits; a template shows the limits only.
        request = quantity(own["limits"][resource])
    return Usable(quantity((own.get("limits") or {}).get(resource)) or _total(limits), request, next(lacking, ""))


def _total(given: Sequence[float | None]) -> float | None:
    known = [value for value in given if value is not None]
    return (sum(known) or None) if len(known) == len(given) else None


def _long_running(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars]


def _limit(container: Mapping[str, Any], in_force: Mapping[str, Mapping[str, Any]], resource: str) -> float | None:
    declared = (container.get("resources") or {}).get("limits") or {}
    text = (in_force.get(str(container.get("name"))) or {}).get(resource, declared.get(resource))
    # A limit of 0 means no limit.
    return (quantity(text) or None) if text is not None else None


def _request(container: Mapping[str, Any], resource: str) -> float | None:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    # Requests default from limits at admission; a template shows the limits only.
    text = requests.get(resource, limits.get(resource))
    return quantity(text) if text is not None else None
