"""Which objects a twin names, corrects, holds and depends on, derived from its parsed spec and status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twinops.api.references import ObjectRef
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.errors import SpecError

SOURCE_KIND = "MetricsSource"
HPA_KIND = "HorizontalPodAutoscaler"


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Names an object that twins depend on: a target, an HPA, a metrics source (without namespace)."""

    kind: str
    namespace: str
    name: str
    group: str = ""


Keys = frozenset[ObjectKey]


@dataclass(frozen=True, slots=True)
class Links:
    """The objects that a twin names, corrects, holds and depends on; other twins may share them.

    Attributes:
        named: target and HPA that its spec names.
        corrects: those of them that its spec lets it correct: all, or none.
        holds: objects of which it has changed a field and not restored it yet, whatever its spec says, and those that
            it names meanwhile; empty when it holds nothing.
        depends: all objects whose changes cause a sync: its MetricsSource, ``named`` and ``holds``.
    """

    named: Keys
    corrects: Keys
    holds: Keys
    depends: Keys


def links_of(
    namespace: str, spec: DigitalTwinSpec | SpecError, held: Iterable[ObjectRef] | None, *, deleting: bool
) -> Links:
    """Return the links of a twin.

    A twin whose spec cannot be read names and corrects nothing and queries no source until its spec changes, but still
    holds what it holds. A twin whose saved values cannot be read counts as holding all that it names.

    Args:
        namespace: of the twin, and so of everything that it names but its source.
        spec: as parsed.
        held: objects of the saved values in its status; None when these cannot be read.
        deleting: whether the twin is being deleted.
    """
    named = frozenset[ObjectKey]() if isinstance(spec, SpecError) else _named(namespace, spec)
    corrects = named if not deleting and not isinstance(spec, SpecError) and _may_correct(spec) else frozenset()
    kept = named if held is None else frozenset(key_of(reference, namespace) for reference in held)
    holds = kept | named if kept else kept
    source = frozenset[ObjectKey]() if isinstance(spec, SpecError) else frozenset({_source(spec)})
    return Links(named, corrects, holds, named | holds | source)


def key_of(reference: ObjectRef, namespace: str) -> ObjectKey:
    """Return the key of an object that a status names."""
    return ObjectKey(reference.kind, namespace, reference.name, group_of(reference.api_version))


def group_of(api_version: str) -> str:
    """Return the API group of an ``apiVersion``; empty for the core group."""
    return api_version.rpartition("/")[0]


def _named(namespace: str, spec: DigitalTwinSpec) -> Keys:
    keys = set()
    if (target := spec.source.target_ref) is not None:
        keys.add(ObjectKey(target.kind, namespace, target.name, group_of(target.api_version)))
    if (hpa := spec.auto_correction.horizontal_pod_autoscaler_ref) is not None:
        keys.add(ObjectKey(HPA_KIND, namespace, hpa.name, "autoscaling"))
    return frozenset(keys)


def _source(spec: DigitalTwinSpec) -> ObjectKey:
    return ObjectKey(SOURCE_KIND, "", spec.source.metrics_source_ref.name)


def _may_correct(spec: DigitalTwinSpec) -> bool:
    correction = spec.auto_correction
    return not spec.suspend and correction.enabled and correction.mode is CorrectionMode.APPLY
