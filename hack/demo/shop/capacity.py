"""How much work the pods of a shop can do: slots, a short queue, and CPU by the slots that are busy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

from demo.scenario import PodShape


class Overloaded(Exception):
    """No pod took the request.

    Attributes:
        pod: the pod that refused it; empty when none is ready.
    """

    def __init__(self, pod: str = "") -> None:
        super().__init__(pod or "no pod is ready")
        self.pod = pod


class Pod:
    """One pod: works on a few requests at a time, lets some wait, refuses the rest.

    Args:
        name: of the pod.
        shape: what it can do.
    """

    def __init__(self, name: str, shape: PodShape) -> None:
        self.name = name
        self._shape = shape
        self._free = asyncio.Semaphore(shape.slots)
        self._waiting = 0
        self._busy = 0
        self._busy_seconds = 0.0
        self._since = _now()

    async def work(self, seconds: float) -> None:
        """Wait for a free slot and hold it for `seconds`.

        Raises:
            Overloaded: too many wait already.
        """
        if self._free.locked() and self._waiting >= self._shape.max_waiting:
            raise Overloaded(self.name)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        self._count(1)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._count(-1)
            self._free.release()

    @property
    def cpu_seconds(self) -> float:
        """CPU time used since its start: the share of busy slots, times the CPU of all of them."""
        self._count(0)
        return self._busy_seconds / self._shape.slots * self._shape.cpu_millicores / 1000

    def _count(self, change: int) -> None:
        now = _now()
        self._busy_seconds += self._busy * (now - self._since)
        self._since = now
        self._busy += change


class Pool:
    """The pods that are ready, each in its turn.

    Args:
        shape: what each pod can do.
        seed: of the service times.
    """

    def __init__(self, shape: PodShape, seed: int) -> None:
        self._shape = shape
        self._random = random.Random(seed)  # noqa: S311 - not a secret
        self._pods: dict[str, Pod] = {}
        self._turn = 0

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that are ready."""
        return tuple(self._pods.values())

    def set_ready(self, names: Iterable[str]) -> None:
        """Say which pods are ready. One that is ready no more gets no new work and ends what it has."""
        self._pods = {name: self._pods.get(name) or Pod(name, self._shape) for name in sorted(set(names))}

    async def serve(self) -> Pod:
        """Have the next pod do the work of one request, and return that pod.

        Raises:
            Overloaded: the pod has too many waiting, or none is ready.
        """
        pods = self.pods
        if not pods:
            raise Overloaded
        self._turn += 1
        pod = pods[self._turn % len(pods)]
        spread = self._shape.spread
        await pod.work(self._shape.mean_seconds * self._random.uniform(1 - spread, 1 + spread))
        return pod


def _now() -> float:
    return asyncio.get_running_loop().time()
