"""What is read of a target's object: replicas, labels, version, rollout, template. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from twinops.adapters.kubernetes import rollouts, selectors
from twinops.adapters.kubernetes.pod_cache import shared_labels, shared_resources
from twinops.adapters.kubernetes.quantities import PodResources, pod_resources
from twinops.adapters.kubernetes.selectors import Selector

VERSION_LABEL: Final = "app.kubernetes.io/version"

PLURALS: Final[Mapping[tuple[str, str], str]] = {
    ("apps/v1", "Deployment"): "deployments",
    ("apps/v1", "StatefulSet"): "statefulsets",
    ("apps/v1", "ReplicaSet"): "replicasets",
    ("v1", "ReplicationController"): "replicationcontrollers",
}
"""API version and kind of the targets whose own fields say all that their ``/scale`` says, and their plurals.

A missing ``status.readyReplicas`` means 0 there; of other kinds it means unknown.
"""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is used of a target's object.

    Attributes:
        ready: ready replicas.
        desired: replicas in its spec.
        selector: of its pods, None without one.
        version: ``app.kubernetes.io/version`` or the image tag, None when neither is known.
        rollout: why the object itself says that a rollout is under way, empty when it does not.
        template: resources of its pod template, None where that has no spec.
    """

    uid: str
    ready: int
    desired: int
    selector: Selector | None
    labels: Mapping[str, str]
    version: str | None
    rollout: str
    template: PodResources | None


def read_target(
    kind: str, body: Json, scale: Json | None, template: Json, *, same_spec: Target | None = None
) -> Target:
    """Read a target.

    Args:
        kind: of the target.
        body: as the API server sends it.
        scale: its ``/scale``; None for the kinds in ``PLURALS``.
        template: its pod template.
        same_spec: the target as it was read before, where its spec is still the same.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: the fields are not where Deployments have them.
    """
    spec, status = body.get("spec") or {}, body.get("status") or {}
    if scale is None:
        # The API server defaults spec.replicas to 1.
        ready, desired = status.get("readyReplicas") or 0, spec.get("replicas", 1)
    else:
        ready = status.get("readyReplicas", (scale.get("status") or {}).get("replicas", 0))
        desired = (scale.get("spec") or {}).get("replicas") or 0
    if same_spec is not None:
        selector, resources = same_spec.selector, same_spec.template
    else:
        selector, resources = _selector(kind, spec.get("selector"), scale), _resources(template)
    return Target(
        uid=str(body["metadata"]["uid"]),
        ready=int(ready),
        desired=int(desired),
        selector=selector,
        labels=shared_labels(frozenset((body["metadata"].get("labels") or {}).items())),
        version=version(body, template),
        rollout=rollouts.of_object(kind, body),
        template=resources,
    )


def _resources(template: Json) -> PodResources | None:
    spec = template.get("spec")
    return shared_resources(pod_resources(spec)) if spec else None


def _selector(kind: str, own: Any, scale: Json | None) -> Selector | None:
    if scale is None:
        return selectors.of_labels(own) if kind == "ReplicationController" else selectors.of_object(own)
    of_scale = selectors.of_text((scale.get("status") or {}).get("selector") or "")
    # The status of /scale may be empty; many kinds have spec.selector as Deployments have.
    return of_scale or (selectors.of_object(own) if isinstance(own, Mapping) else None)


def version(body: Json, template: Json) -> str | None:
    """Return the target's version: the label of its pod template or itself, else the tag of its first image."""
    for labelled in (template, body):
        found = ((labelled.get("metadata") or {}).get("labels") or {}).get(VERSION_LABEL)
        if found:
            return str(found)
    containers = (template.get("spec") or {}).get("containers") or ()
    return image_tag(str(containers[0].get("image") or "")) if containers else None


def image_tag(image: str) -> str | None:
    """Return the tag of an image reference, None when it has none (``name``, ``name@sha256:…``)."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or None
