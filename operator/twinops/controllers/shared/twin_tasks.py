"""Background tasks of twins: at most one per twin, and all cancelled at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from twinops.ports.kubernetes import TwinRef


class TwinTasks:
    """Tasks by twin.

    Args:
        what: what they do, a word or two; part of the tasks' names.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, ref: TwinRef, job: Callable[[TwinRef], Coroutine[Any, Any, None]]) -> None:
        """Start a twin's task, unless it runs already."""
        if ref.uid in self._tasks:
            return
        task = asyncio.create_task(job(ref), name=f"{self._what} {ref.namespace}/{ref.name}")
        self._tasks[ref.uid] = task
        task.add_done_callback(lambda _: self._tasks.pop(ref.uid, None))

    async def aclose(self) -> None:
        """Cancel all tasks, and wait for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
