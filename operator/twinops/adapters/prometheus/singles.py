"""Queries that are asked alone, and what their answers tell about them."""

from __future__ import annotations

import dataclasses
import time

from twinops.adapters.prometheus.connections import Connections
from twinops.adapters.prometheus.questions import Ask, Question, QuestionTasks, Share
from twinops.adapters.prometheus.sharing_state import Remembered
from twinops.adapters.prometheus.slow_queries import SlowQueries, SlowRequesters
from twinops.adapters.prometheus.transport import NoAnswer
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.engine.fair_semaphore import Permit
from twinops.errors import MetricsBusy

ALONE_SECONDS = 900.0
"""For how long a query is asked alone that failed, took long, or cannot be joined."""

PARTIAL_SECONDS = 300.0
"""For how long a query that was answered in part is joined with such queries only."""

BUSY = InstantAnswer(error="busy")


class Singles:
    """Asks queries alone.

    Args:
        connections: to the source.
        tasks: runs the requests.
        long: seconds from which on an answer takes too long for the query to be joined.

    Attributes:
        slow: the queries that timed out.
        slow_requesters: the twins of such queries.
        partial: the queries that were answered in part.
    """

    def __init__(self, connections: Connections, tasks: QuestionTasks, long: float) -> None:
        self._connections = connections
        self._tasks = tasks
        self._long = long
        self._alone = Remembered(ALONE_SECONDS)
        self._taking_long = Remembered(ALONE_SECONDS)
        self._waiting: dict[tuple[Share, str], Question] = {}
        self.slow = SlowQueries()
        self.slow_requesters = SlowRequesters()
        self.partial = Remembered(PARTIAL_SECONDS)

    def take(self, share: Share, text: str, until: float, asker: tuple[Ask, int]) -> bool:
        """Ask the query if it is one that must be asked alone; return whether it is."""
        if text not in self._alone and text not in self._taking_long:
            return False
        question = self._waiting.get((share, text))
        if question is None:
            question = self._waiting[share, text] = Question(text, until)
            self.start(question, share)
        question.askers.append(asker)
        return True

    def start(self, question: Question, share: Share, permit: Permit | None = None) -> None:
        """Ask a question alone, this time."""
        self._tasks.start((question,), self._ask, question, share, permit)

    def set_apart(self, question: Question, share: Share) -> None:
        """Ask a question alone, now and for some time."""
        self._alone.add(question.text)
        self.start(question, share)

    async def _ask(self, question: Question, share: Share, permit: Permit | None) -> None:
        """Ask one question; without a permit wait for one, as the twin that asked first.

        Raises:
            MetricsUnavailable, SpecError: the source did not answer, or refuses the operator.
        """
        try:
            if permit is None:
                permit = await self._connections.permit(
                    question.askers[0][0].who, question.seconds_left, background=share.background
                )
        except MetricsBusy:
            question.answer(BUSY)
            return
        finally:
            if self._waiting.get((share, question.text)) is question:
                del self._waiting[share, question.text]
        if question.wanted:
            question.answer(await self.ask_one(question, share.at, permit))
        else:
            permit.release()

    async def ask_one(self, question: Question, at: float, permit: Permit) -> InstantAnswer:
        """Ask one question alone, and remember what that tells about its query."""
        began = time.monotonic()
        try:
            answer = await self._connections.ask_one(question.text, at, permit)
        except NoAnswer:
            if self._connections.answered_at <= began:
                raise
            # Others were answered meanwhile: the query hangs, not the source.
            answer = InstantAnswer(error="timeout")
        text = question.text
        if answer.error == PARTIAL:
            self.partial.add(text)
            return answer
        self.partial.discard(text)
        if answer.error == "timeout" or time.monotonic() - began > self._long:
            self._taking_long.add(text)
        else:
            # Else all would go on being asked alone after a time in which the source was slow.
            self._taking_long.discard(text)
        if answer.error != "timeout":
            if answer.error:
                self._alone.add(text)
            self.slow.answered(text)
            return answer
        for ask, _ in question.askers:
            self.slow_requesters.failed(ask.who)
        return dataclasses.replace(answer, next_attempt=at + self.slow.failed(text))
