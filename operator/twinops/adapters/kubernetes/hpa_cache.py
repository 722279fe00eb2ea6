"""HPAs and KEDA's ScaledObjects from the watch, indexed by their scale target."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twinops.adapters.kubernetes import hpas
from twinops.adapters.kubernetes.answers import Json
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.reflector import Reflector, version_of
from twinops.adapters.kubernetes.watched import Watched
from twinops.api.references import TargetRef
from twinops.core.lever import Lever
from twinops.errors import NotFound
from twinops.ports.process import Clock

KEDA: Final = "keda.sh/v1alpha1"
SCALED_OBJECTS: Final = "scaledobjects"

Seen = Callable[[Mapping[str, Any], bool, bool], None]
"""Called with an HPA, whether it is of the first list, and whether it was deleted."""

_Scaled = tuple[str, str, str, str]
"""Namespace, API group, kind and name of a scale target."""


@dataclass(frozen=True, slots=True)
class KeptScaler:
    """The stored part of an HPA or a ScaledObject.

    Attributes:
        version: resourceVersion.
        scales: its scale target.
        digest: of an HPA's uid and spec without ``minReplicas``.
        lever: of an HPA, None for a ScaledObject.
    """

    namespace: str
    name: str
    version: int
    scales: _Scaled
    digest: str = ""
    lever: Lever | None = None


class ScalerIndex:
    """Scalers by scale target."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_target: dict[_Scaled, dict[str, KeptScaler]] = {}

    def changed(self, before: KeptScaler | None, now: KeptScaler | None) -> None:
        """Update the index for a scaler that was added, changed or deleted (None)."""
        if before is not None and (now is None or now.scales != before.scales):
            named = self._by_target[before.scales]
            del named[before.name]
            if not named:
                del self._by_target[before.scales]
        if now is not None:
            self._by_target.setdefault(now.scales, {})[now.name] = now

    def of(self, namespace: str, target: TargetRef) -> list[KeptScaler]:
        """Return the scalers of a target, sorted by name."""
        key = (namespace, target.api_version.rpartition("/")[0], target.kind, target.name)
        named = self._by_target.get(key, {})
        return [named[name] for name in sorted(named)]


class HpaCache:
    """HPAs of the watched namespaces.

    Args:
        client: of ``KubeClient.for_watches``.
        clock: for pauses.
        namespaces: empty for all.
        seen: called for HPAs that were added or deleted, or whose spec changed; not for changes of their status.
    """

    def __init__(self, client: KubeClient, clock: Clock, namespaces: Sequence[str], seen: Seen) -> None:
        self._index = ScalerIndex()
        self._seen = seen
        self.watched = Watched(
            client, clock, hpas.API_VERSION, hpas.PLURAL, namespaces, keep=_kept_hpa, changed=self._changed
        )

    def targeting(self, namespace: str, target: TargetRef) -> list[Lever] | None:
        """Return the HPAs of a target; None while the copy is not current."""
        if self.watched.current(namespace) is None:
            return None
        return [kept.lever for kept in self._index.of(namespace, target) if kept.lever is not None]

    def named(self, namespace: str, name: str) -> KeptScaler | None:
        """Return an HPA; None when there is none or the copy is not current."""
        reflector = self.watched.current(namespace)
        return None if reflector is None else reflector.get(namespace, name)

    def take(self, body: Json) -> None:
        """Store an HPA that was read live, so that the next sync does not see it as it was before our own write."""
        reflector = self.watched.of(body["metadata"]["namespace"])
        if reflector is not None:
            reflector.take(body)

    def _changed(self, before: KeptScaler | None, now: KeptScaler | None, first: bool) -> None:  # noqa: FBT001 - as Reflector calls it
        self._index.changed(before, now)
        latest = now or before
        if latest is not None and (before is None or now is None or before.digest != now.digest):
            self._seen(_body(latest), first, now is None)


class ScaledObjectCache:
    """KEDA's ScaledObjects of the watched namespaces; none where KEDA is not installed."""

    def __init__(self, client: KubeClient, clock: Clock, namespaces: Sequence[str]) -> None:
        self._index = ScalerIndex()
        self.watched = Watched(
            client,
            clock,
            KEDA,
            SCALED_OBJECTS,
            namespaces,
            keep=_kept_scaled_object,
            changed=lambda before, now, _: self._index.changed(before, now),
        )

    def scaling(self, namespace: str, target: TargetRef) -> str | None:
        """Return the name of a target's ScaledObject, empty for none; None while the copy is not current."""
        reflector = self.watched.of(namespace)
        if reflector is None or not (reflector.current or _not_served(reflector)):
            return None
        return next((kept.name for kept in self._index.of(namespace, target)), "")


def scaled_by(reference: Mapping[str, Any], namespace: str) -> _Scaled:
    """Return the scale target of a ``scaleTargetRef``; of its API version only the group counts."""
    group = str(reference.get("apiVersion") or "").rpartition("/")[0]
    return (namespace, group, str(reference.get("kind") or ""), str(reference.get("name") or ""))


def scaled_object_target(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a ScaledObject's ``scaleTargetRef`` with KEDA's own defaults.

    Source: https://keda.sh/docs/latest/reference/scaledobject-spec/#scaletargetref
    """
    return {"apiVersion": "apps/v1", "kind": "Deployment"} | (body["spec"].get("scaleTargetRef") or {})


def _not_served(reflector: Reflector[KeptScaler]) -> bool:
    return isinstance(reflector.failure, NotFound)


def _kept_hpa(body: Json) -> KeptScaler:
    meta, spec = body["metadata"], body["spec"]
    lever = hpas.hpa_lever(body)
    content = [meta["uid"], {field: value for field, value in spec.items() if field != "minReplicas"}]
    return KeptScaler(
        namespace=meta["namespace"],
        name=meta["name"],
        version=version_of(body),
        scales=scaled_by(spec.get("scaleTargetRef") or {}, meta["namespace"]),
        digest=hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest(),
        lever=hpas.without_bulk(lever),
    )


def _kept_scaled_object(body: Json) -> KeptScaler:
    meta = body["metadata"]
    return KeptScaler(
        meta["namespace"], meta["name"], version_of(body), scaled_by(scaled_object_target(body), meta["namespace"])
    )


def _body(kept: KeptScaler) -> Mapping[str, Any]:
    """Return the part of an HPA by which the twins that depend on it are found."""
    namespace, group, kind, name = kept.scales
    reference = {"apiVersion": f"{group}/" if group else "", "kind": kind, "name": name}
    uid = "" if kept.lever is None else kept.lever.uid
    return {
        "apiVersion": hpas.API_VERSION,
        "kind": hpas.KIND,
        "metadata": {"namespace": namespace, "name": kept.name, "uid": uid},
        "spec": {"scaleTargetRef": reference, "digest": kept.digest},
    }
