"""One kind in all namespaces that are watched."""

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
"""How long a start waits for what is watched; after that it is read live until it is there."""


class Watched(Generic[R]):
    """A kind's reflectors: one for the whole cluster, or one for each namespace that is named.

    Args:
        client: with connections that may be held for long.
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
            place: Reflector(
                client, resource_path(api_version, plural, namespace=place or None), clock, keep=keep, changed=changed
            )
            for place in (namespaces or ("",))
        }

    def of(self, namespace: str) -> Reflector[R] | None:
        """Return what keeps this namespace up, None where nothing does."""
        return self._reflectors.get("") or self._reflectors.get(namespace)

    def current(self, namespace: str) -> Reflector[R] | None:
        """Return what keeps this namespace up while it is current."""
        reflector = self.of(namespace)
        return reflector if reflector is not None and reflector.current else None

    def forbidden(self, namespace: str) -> Refused | None:
        """Return how a list there was refused for want of a right, None while it is not."""
        reflector = self.of(namespace)
        return None if reflector is None else reflector.forbidden

    def __iter__(self) -> Iterator[Reflector[R]]:
        return iter(self._reflectors.values())

    async def run(self) -> None:
        """Keep all of them up, for ever."""
        await asyncio.gather(*(reflector.run() for reflector in self))

    async def first(self) -> None:
        """Wait until each has been read once, or could not be."""
        try:
            async with asyncio.timeout(STARTING_SECONDS):
                for reflector in self:
                    await reflector.settled.wait()
        except TimeoutError:
            return
