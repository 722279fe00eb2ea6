"""Local copies of one kind over all watched namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Generic

from twinops.adapters.kubernetes.answers import Json
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.reflector import R, Reflector
from twinops.errors import Refused
from twinops.ports.process import Clock

STARTING_SECONDS = 15.0
"""How long a start waits for the first lists; until a copy is current its objects are read live."""


class Watched(Generic[R]):
    """The reflectors of one kind: one for the whole cluster, or one per watched namespace.

    Args:
        client: of ``KubeClient.for_watches``.
        clock: for pauses.
        api_version: of the kind.
        plural: of the kind.
        namespaces: empty for all.
        keep: see ``Reflector``.
        changed: see ``Reflector``.
    """

    def __init__(
        self,
        client: KubeClient,
        clock: Clock,
        api_version: str,
        plural: str,
        namespaces: Sequence[str],
        *,
        keep: Callable[[Json], R],
        changed: Callable[[R | None, R | None, bool], None],
    ) -> None:
        self._clock = clock
        self._reflectors = {
            namespace: Reflector(
                client,
                resource_path(api_version, plural, namespace=namespace or None),
                clock,
                keep=keep,
                changed=changed,
            )
            for namespace in (namespaces or ("",))
        }

    def of(self, namespace: str) -> Reflector[R] | None:
        """Return the reflector of a namespace, None when it is not watched."""
        return self._reflectors.get("") or self._reflectors.get(namespace)

    def current(self, namespace: str) -> Reflector[R] | None:
        """Return the reflector of a namespace, None when it is not watched or not current."""
        reflector = self.of(namespace)
        return reflector if reflector is not None and reflector.current else None

    def forbidden(self, namespace: str) -> Refused | None:
        """Return the error of a list there that was refused for a missing right, None otherwise."""
        reflector = self.of(namespace)
        return None if reflector is None else reflector.forbidden

    def __iter__(self) -> Iterator[Reflector[R]]:
        return iter(self._reflectors.values())

    async def run(self) -> None:
        """Run all reflectors until cancelled."""
        await asyncio.gather(*(reflector.run() for reflector in self))

    async def first(self) -> None:
        """Wait until the first attempt of each has ended, at most ``STARTING_SECONDS``."""
        try:
            async with asyncio.timeout(STARTING_SECONDS):
                for reflector in self:
                    await reflector.settled.wait()
        except TimeoutError:
            return
