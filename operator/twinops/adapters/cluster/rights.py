"""Rights that are missing: what to say, and how to mend it by the chart."""

from __future__ import annotations

from twinops.adapters.cluster.reflector import is_forbidden
from twinops.errors import Forbidden, Refused

_GRANTED = {
    ("", "pods"): "rbac.readPods",
    ("apps", "deployments"): "rbac.create",
    ("apps", "statefulsets"): "rbac.create",
    ("apps", "replicasets"): "rbac.create",
    ("autoscaling", "horizontalpodautoscalers"): "rbac.create",
    ("keda.sh", "scaledobjects"): "rbac.create",
}


def missing_right(verb: str, group: str, resource: str, namespace: str) -> Forbidden:
    """Return the error that names a right that is missing, and the value of the chart that gives it.

    Args:
        verb: ``get``, ``list``…
        group: API group, empty for the core.
        resource: plural, with ``/scale`` where it is that.
        namespace: where.
    """
    full = f"{resource}.{group}" if group else resource
    granted = "rbac.create" if resource.endswith("/scale") else _GRANTED.get((group, resource))
    mend = (
        f"set {granted} to true in the values of the chart, or grant it yourself"
        if granted
        else "add to rbac.extraObserveRules in the values of the chart: "
        f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: [get, list, watch]}}'
    )
    return Forbidden(f"the operator may not {verb} {full} in namespace {namespace}: {mend}")


def told(error: Refused, verb: str, group: str, resource: str, namespace: str) -> Refused | Forbidden:
    """Return the same error, or for one about a missing right the one that says how to mend it."""
    return missing_right(verb, group, resource, namespace) if is_forbidden(error) else error
