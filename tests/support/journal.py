"""Records every request that goes to a fake, in order, and lets a test do something at any of them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Act = Callable[[], Awaitable[None] | None]


@dataclass
class Journal:
    """The requests to all fakes of a scene.

    Attributes:
        points: each request twice, when it is sent (``levers.write``) and when it was answered (``levers.write done``).
        acts: what to do at the point of this number, counted from zero.
        hooks: what to do at every point of this name.
        arguments: of each request, by its name.
    """

    points: list[str] = field(default_factory=list)
    acts: dict[int, Act] = field(default_factory=dict)
    hooks: dict[str, Act] = field(default_factory=dict)
    arguments: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def clear(self) -> None:
        """Start counting anew."""
        self.points, self.acts, self.hooks, self.arguments = [], {}, {}, []

    async def reach(self, point: str) -> None:
        number = len(self.points)
        self.points.append(point)
        for act in (self.acts.pop(number, None), self.hooks.get(point)):
            if act is not None:
                done = act()
                if inspect.isawaitable(done):
                    await done

    def sent(self, *names: str) -> list[str]:
        """Return the requests with these names, in order; all without names."""
        return [name for name, _, _ in self.arguments if not names or name in names]


class Journaled:
    """Passes calls on to a fake; those of async methods go through the journal.

    Args:
        name: of the fake in the journal.
        inner: the fake.
        journal: of the scene.
    """

    def __init__(self, name: str, inner: Any, journal: Journal) -> None:
        self._name = name
        self._inner = inner
        self._journal = journal

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if not inspect.iscoroutinefunction(found):
            return found
        point = f"{self._name}.{attribute}"

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._journal.arguments.append((point, args, kwargs))
            await self._journal.reach(point)
            answer = await found(*args, **kwargs)
            await self._journal.reach(f"{point} done")
            return answer

        return call
