"""Targets from the watch, by kind: a kind is watched as long as twins have targets of it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from twinops.adapters.kubernetes.answers import Json
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.hpa_cache import Seen
from twinops.adapters.kubernetes.reflector import version_of
from twinops.adapters.kubernetes.scales import scale_lever
from twinops.adapters.kubernetes.targets import PLURALS, Target, read_target
from twinops.adapters.kubernetes.watched import Watched
from twinops.api.references import ObjectRef, TargetRef
from twinops.core.lever import Lever
from twinops.ports.process import Clock

UNUSED_SECONDS: Final = 60.0
"""How often kinds that no twin depends on any more are looked for."""

FIRST_LIST_SECONDS: Final = 2.0
"""How long after a kind is first asked for reads wait for its list; with many twins they would be as many requests."""

_SCALING: Final = "replicas"
"""The field of a spec that every scaling changes, our own corrections among them; it wakes no twin."""

_NOTHING: Final[Mapping[str, Any]] = {}

_Kind = tuple[str, str]
"""API version and kind."""


@dataclass(frozen=True, slots=True)
class KeptTarget:
    """The stored part of a target.

    Attributes:
        version: resourceVersion.
        generation: changes with its spec; 0 where the API server sends none.
        digest: of its uid and its spec without ``replicas``.
        target: what syncs use of it.
        lever: its ``/scale``.
    """

    namespace: str
    name: str
    version: int
    generation: int
    digest: str
    target: Target
    lever: Lever


@dataclass(slots=True)
class _WatchedKind:
    """A kind that is watched.

    Attributes:
        patience_ends: until when reads wait for the first list, in the event loop's time.
        task: runs the watch; None until it is started.
    """

    watched: Watched[KeptTarget]
    patience_ends: float
    task: asyncio.Task[None] | None = None


class TargetCache:
    """Targets of the watched namespaces, for the kinds in ``PLURALS``.

    Objects of other kinds have parts that only their ``/scale`` tells, which cannot be watched: they are read live at
    each sync. A cache of those would show a sync what the one before has seen.

    Args:
        client: of ``KubeClient.for_watches``.
        clock: for pauses.
        namespaces: empty for all.
        seen: called for targets that were added or deleted, or whose spec changed in more than its replicas.
        in_use: whether any twin depends on objects of an API group and kind.
    """

    def __init__(
        self,
        client: KubeClient,
        clock: Clock,
        namespaces: Sequence[str],
        *,
        seen: Seen,
        in_use: Callable[[str, str], bool],
    ) -> None:
        self._client = client
        self._clock = clock
        self._namespaces = namespaces
        self._seen = seen
        self._in_use = in_use
        self._kinds: dict[_Kind, _WatchedKind] = {}
        self._asked = asyncio.Event()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that are watched now."""
        return frozenset(kind for _, kind in self._kinds)

    async def get(self, namespace: str, ref: ObjectRef | TargetRef) -> KeptTarget | None:
        """Return what is known of a target; None where it must be read live.

        That is while the copy is not current, and for an object that is not in it: it may be younger than the copy,
        and only the API server itself says that an object does not exist.
        """
        kind = (ref.api_version, ref.kind)
        if kind not in PLURALS:
            return None
        known = self._of(kind)
        reflector = known.watched.of(namespace)
        if reflector is None:
            return None
        if not reflector.settled.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(known.patience_ends):
                    await reflector.settled.wait()
        return reflector.get(namespace, ref.name) if reflector.current else None

    def take(self, ref: ObjectRef | TargetRef, body: Json) -> None:
        """Store a target that was read live, so that the next sync does not see it as it was before our own write."""
        known = self._kinds.get((ref.api_version, ref.kind))
        reflector = None if known is None else known.watched.of(body["metadata"]["namespace"])
        if reflector is not None:
            reflector.take(body)

    async def run(self) -> None:
        """Watch the kinds that are asked for until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._asked.clear()
                for each in self._kinds.values():
                    each.task = each.task or group.create_task(each.watched.run())
                with suppress(TimeoutError):
                    async with asyncio.timeout(UNUSED_SECONDS):
                        await self._asked.wait()
                self._stop_unused()

    def _of(self, kind: _Kind) -> _WatchedKind:
        known = self._kinds.get(kind)
        if known is None:
            watched = Watched(
                self._client,
                self._clock,
                kind[0],
                PLURALS[kind],
                self._namespaces,
                keep=partial(self._keep, kind),
                changed=partial(self._changed, *kind),
            )
            ends = asyncio.get_running_loop().time() + FIRST_LIST_SECONDS
            known = self._kinds[kind] = _WatchedKind(watched, ends)
            self._asked.set()
        return known

    def _keep(self, kind: _Kind, body: Json) -> KeptTarget:
        meta = body["metadata"]
        reflector = self._kinds[kind].watched.of(meta["namespace"])
        return kept_target(*kind, body, None if reflector is None else reflector.get(meta["namespace"], meta["name"]))

    def _stop_unused(self) -> None:
        for kind, known in list(self._kinds.items()):
            if known.task is not None and not self._in_use(kind[0].rpartition("/")[0], kind[1]):
                known.task.cancel()
                del self._kinds[kind]

    def _changed(
        self,
        api_version: str,
        kind: str,
        before: KeptTarget | None,
        now: KeptTarget | None,
        first: bool,  # noqa: FBT001 - as Reflector calls it
    ) -> None:
        latest = now or before
        if latest is not None and (before is None or now is None or before.digest != now.digest):
            self._seen(_body(api_version, kind, latest), first, now is None)


def kept_target(api_version: str, kind: str, body: Json, before: KeptTarget | None) -> KeptTarget:
    """Return the stored part of a target.

    Args:
        api_version: of the target.
        kind: of the target.
        body: as the API server sends it.
        before: what is stored until now. Most events change a status only: then what was read of the spec still holds.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: it cannot be read.
    """
    meta, spec = body["metadata"], body["spec"]
    generation = meta.get("generation") or 0
    same = before is not None and generation and (before.target.uid, before.generation) == (meta["uid"], generation)
    known = before if same else None
    lever = scale_lever(ObjectRef(api_version=api_version, kind=kind, name=meta["name"]), body, None)
    return KeptTarget(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        version=version_of(body),
        generation=generation,
        digest=_digest(meta["uid"], spec) if known is None else known.digest,
        target=read_target(
            kind, body, None, spec.get("template") or {}, same_spec=None if known is None else known.target
        ),
        # A hand-over, which needs the object, reads it again.
        lever=dataclasses.replace(lever, raw=_NOTHING),
    )


def _digest(uid: str, spec: Json) -> str:
    content = [uid, {field: value for field, value in spec.items() if field != _SCALING}]
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


def _body(api_version: str, kind: str, kept: KeptTarget) -> Mapping[str, Any]:
    """Return the part of a target by which the twins that depend on it are found."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"namespace": kept.namespace, "name": kept.name, "uid": kept.target.uid},
        "spec": {"digest": kept.digest},
    }
