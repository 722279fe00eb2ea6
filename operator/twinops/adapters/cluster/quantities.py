"""Kubernetes quantities, and what one pod of a template asks for.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.utils.quantity import parse_quantity


def quantity(text: Any) -> float | None:
    """Return ``250m``, ``1e3`` or ``2Gi`` as a plain number, None where it is none."""
    try:
        value = float(parse_quantity(text))  # type: ignore[no-untyped-call]  # ships no types
    except (ValueError, ArithmeticError):
        return None
    return value if math.isfinite(value) else None


def per_pod(template: Mapping[str, Any], resource: str) -> tuple[float | None, str]:
    """Return how much of a resource one pod may use, and by which basis that is known.

    Containers that run as long as the pod count, native sidecars (init containers that restart
    ``Always``) among them; other init containers do not.

    Args:
        template: a pod template.
        resource: ``cpu`` (cores) or ``memory`` (bytes).

    Returns:
        ``(sum, "limits")`` where every container has a limit, else ``(sum, "requests")`` where every
        container has a request (the API server fills requests in from limits), else ``(None, "")``.
    """
    containers = _long_running(template.get("spec") or {})
    for basis in ("limits", "requests"):
        given = [_given(container, basis, resource) for container in containers]
        known = [value for value in given if value]
        if containers and len(known) == len(given):
            return sum(known), basis
    return None, ""


def _long_running(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars]


def _given(container: Mapping[str, Any], basis: str, resource: str) -> float | None:
    resources = (container.get("resources") or {}).get(basis) or {}
    if resource in resources:
        return quantity(resources[resource])
    # A pod defaults its requests from its limits, but a template that was never admitted does not show it.
    limits = (container.get("resources") or {}).get("limits") or {}
    return quantity(limits[resource]) if basis == "requests" and resource in limits else None
