"""Kubernetes quantities, and what pods may use.

Sources: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/, and for what counts as a
pod's request the HPA controller (``pkg/controller/podautoscaler/replica_calculator.go``): both are to agree.
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
    """Return ``250m``, ``1e3`` or ``2Gi`` as a plain number, None where it is none."""
    try:
        value = float(parse_quantity(text))  # type: ignore[no-untyped-call]  # ships no types
    except (ValueError, ArithmeticError):
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Usable:
    """What one pod may use of one resource.

    Attributes:
        limits: the pod's own limit, else the sum over its containers; None where a container has none.
        requests: likewise.
        unlimited: the first container that has neither, empty where all have one.
    """

    limits: float | None
    requests: float | None
    unlimited: str = ""


@dataclass(frozen=True, slots=True)
class PodResources:
    """What one pod may use.

    Attributes:
        containers: those that run as long as the pod, sorted: native sidecars (init containers that restart
            ``Always``) are among them, other init containers and ephemeral ones are not.
    """

    containers: tuple[str, ...]
    cpu: Usable
    memory: Usable


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a pod may use, as the mean over several.

    Attributes:
        amount: cores or bytes, None where it is not known.
        basis: ``limits`` or ``requests``, empty where it is not known.
        problem: why it is not known: which container has neither.
    """

    amount: float | None = None
    basis: str = ""
    problem: str = ""


def pod_resources(spec: Mapping[str, Any], status: Mapping[str, Any] = _NOTHING) -> PodResources:
    """Return what a pod may use.

    Limits are those that are in force, as the kubelet reports them: a resize in place comes later there than in the
    spec. Requests are the spec's, as the HPA controller reads them.

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
    """Return what one pod may use in the mean, by the best basis that all of them have.

    The mean of their usage by this mean is the sum of their usage by the sum of what they may use, whatever the
    single ones have.

    Args:
        pods: by name, as a problem is to call them; of a template its own name.

    Returns:
        By ``limits`` where every container of every pod has one, else by ``requests`` where every one has a request.
    """
    for basis in ("limits", "requests"):
        given = [getattr(usable, basis) for usable in pods.values()]
        known = [value for value in given if value is not None]
        if known and len(known) == len(given):
            return Capacity(sum(known) / len(known), basis)
    # Where some pods have only limits and others only requests, which cannot be, the first one is named.
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
        # As soon as a pod asks for anything as a whole, containers that ask for nothing count as 0.
        request = quantity(own_requests.get(resource)) or _total([value or 0.0 for value in requests])
    elif (own.get("limits") or {}).get(resource) and request is None:
        # The API server defaults a pod's requests from its limits; a template does not show it.
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
    # A limit of 0 is none.
    return (quantity(text) or None) if text is not None else None


def _request(container: Mapping[str, Any], resource: str) -> float | None:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    # A pod defaults its requests from its limits, but a template that was never admitted does not show it.
    text = requests.get(resource, limits.get(resource))
    return quantity(text) if text is not None else None
