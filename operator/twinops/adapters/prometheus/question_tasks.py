"""Work that is done for questions, as tasks that never leave one of them without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from twinops.adapters.prometheus.questions import Question
from twinops.errors import TwinOpsError

log = structlog.get_logger()


class QuestionTasks:
    """Starts tasks, and holds them until they end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, questions: Iterable[Question], work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Call ``work`` with the arguments in a task, for these questions; see ``guarded``."""
        task = asyncio.get_running_loop().create_task(guarded(questions, work, *args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def guarded(questions: Iterable[Question], work: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Call ``work`` with the arguments, and tell all who ask these questions when it fails."""
    try:
        await work(*args)
    except TwinOpsError as error:
        _fail(questions, error)
    except Exception as error:  # Whoever asks must not wait for ever because of a defect.
        log.exception("asking a metrics source crashed")
        _fail(questions, error)


def _fail(questions: Iterable[Question], error: Exception) -> None:
    for question in questions:
        question.fail(error)
