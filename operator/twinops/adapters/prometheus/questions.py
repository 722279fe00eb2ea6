"""What is asked of a source, by whom, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from twinops.core.metrics.queries import InstantAnswer
from twinops.engine.fair_semaphore import Key
from twinops.errors import TwinOpsError

log = structlog.get_logger()

_UNANSWERED = InstantAnswer()


class Ask:
    """The queries of one batch of one twin, and its answers as they come: one future for all of them.

    Args:
        who: the twin.
        count: number of queries.
    """

    __slots__ = ("_missing", "answers", "future", "who")

    def __init__(self, who: Key, count: int) -> None:
        self.who = who
        self.answers = [_UNANSWERED] * count
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = count

    def answer(self, index: int, answer: InstantAnswer) -> None:
        """Set one answer; the last one ends the waiting."""
        self.answers[index] = answer
        self._missing -= 1
        if not self._missing and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End the waiting: the source gave no answer."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Question:
    """One query at one time, for everyone who asks it.

    Attributes:
        text: the query.
        until: monotonic seconds until which it may be sent.
        askers: who asks, and at which position of their batch.
    """

    text: str
    until: float
    askers: list[tuple[Ask, int]] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """How much longer it may wait for a connection."""
        return max(0.0, self.until - time.monotonic())

    @property
    def wanted(self) -> bool:
        """Whether anyone still waits for the answer."""
        return any(not ask.future.done() for ask, _ in self.askers)

    def answer(self, answer: InstantAnswer) -> None:
        """Tell everyone."""
        for ask, index in self.askers:
            ask.answer(index, answer)

    def fail(self, error: BaseException) -> None:
        """Tell everyone that the source gave no answer."""
        for ask, _ in self.askers:
            ask.fail(error)


class Share(NamedTuple):
    """Which questions may go in one request.

    Attributes:
        at: evaluation time, Unix seconds.
        owner: whose connections it takes: a namespace, or all for built-in queries.
        built_in: whether the texts are of known shape.
        background: whether all other requests go first.
        partial: whether every one of them was answered in part when it was last asked alone.
    """

    at: float
    owner: Key
    built_in: bool
    background: bool = False
    partial: bool = False


@dataclass(slots=True, eq=False)
class Group:
    """The questions of one share that are not sent yet.

    Attributes:
        waiting: the questions by their texts.
        senders: tasks that send them.
    """

    share: Share
    waiting: dict[str, Question] = field(default_factory=dict)
    senders: int = 0

    def take(self, texts: int, length: int) -> list[Question]:
        """Remove the oldest questions, up to this number and to about this many characters; drop unwanted ones."""
        taken: list[Question] = []
        left = length
        while self.waiting and len(taken) < texts and left > 0:
            question = self.waiting.pop(next(iter(self.waiting)))
            if question.wanted:
                taken.append(question)
                left -= len(question.text)
        return taken

    def expired(self, now: float) -> list[Question]:
        """Remove the questions that may not be sent any more."""
        late = [question for question in self.waiting.values() if question.until <= now]
        for question in late:
            del self.waiting[question.text]
        return late


def in_parts(questions: Sequence[Question], size: int) -> list[Sequence[Question]]:
    """Return the questions in parts of this size, the last one possibly smaller."""
    return [questions[start : start + size] for start in range(0, len(questions), size)]


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
