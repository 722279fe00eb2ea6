"""Asks the instant queries of all twins of one source in few requests.

Queries for the same time are joined (``joined``) while earlier requests are under way: nothing waits on purpose, except
for a few milliseconds when several twins ask at once. Equal ones are asked once. Built-in queries of all namespaces
share requests; a person's own ones only with those of the same namespace, so that a slow one delays no other.

Every query is answered as if it had been asked alone:

- A joined query that fails is asked again in halves until the bad ones are alone; these are asked alone from then on.
- After a time-out the queries are asked again in about √n parts, then one by one. A joined request has a quarter of the
  source's time-out, so that there is time for this; and fewer of its namespace are joined from then on (``BatchSize``).
- An answer in part (a store of Thanos was away) says nothing about each query, so these are asked again in halves, too.
  Those that are partial even when alone are joined with each other for some minutes: one request tells whether they
  still are. There is an allowance for halving; beyond it all of the joined queries count as partial, so that a value
  may be missing for a sync or two but is never wrong.
- A source that fails may fail because of the joined query. One query of it is asked alone, after a pause with jitter.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Collection, Sequence

from twinops.adapters.prometheus.connections import Connections
from twinops.adapters.prometheus.joined import Truncated, Unusable
from twinops.adapters.prometheus.questions import Ask, Group, Question, QuestionTasks, Share, guarded, in_parts
from twinops.adapters.prometheus.sharing_state import Allowance, BatchSize
from twinops.adapters.prometheus.singles import BUSY, Singles
from twinops.adapters.prometheus.transport import NoAnswer, QueryFailed
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.core.schedule import fraction
from twinops.engine.fair_semaphore import Key, Permit
from twinops.errors import MetricsBusy, MetricsUnavailable
from twinops.ports.metrics import NO_STORE

MOST_CHARACTERS = 192 * 1024
"""Of the queries of one request. Encoded they take up to twice as many bytes, and proxies accept 1 MiB."""

JOINED_SHARE = 0.25
"""Time-out of a joined request, as a share of the source's: two of them may fail before queries are asked alone."""

SLOW_SHARE = 0.5
"""Share of the time-out of a joined request from which on its answer counts as slow."""

SENDERS = 2
"""Joined requests of one share that are under way at once; meanwhile further queries collect for the next one."""

CROWD_SECONDS = 0.05
WINDOW_SECONDS = 0.005
"""A request is held back for so long while the last twin asked less than ``CROWD_SECONDS`` before this one."""

PARTIAL_PER_SECOND = 100.0
LONGEST_JITTER = 0.2

_ALL: Key = ("*", "built-in")
_PARTIAL = InstantAnswer(error=PARTIAL)


class Batcher:
    """Collects, joins and sends.

    Args:
        connections: to the source.
        timeout: seconds that one query may wait for a connection, and then for its answer.
    """

    def __init__(self, connections: Connections, timeout: float) -> None:
        self._connections = connections
        self._timeout = timeout
        self._joined_timeout = timeout * JOINED_SHARE
        self._groups: dict[Share, Group] = {}
        self._tasks = QuestionTasks()
        self._singles = Singles(connections, self._tasks, self._joined_timeout * SLOW_SHARE)
        self._allowance = Allowance(PARTIAL_PER_SECOND, PARTIAL_PER_SECOND)
        # By namespace, so that slow queries of one do not split the requests of others.
        self._sizes: defaultdict[str, BatchSize] = defaultdict(BatchSize)
        self._asked_at = -math.inf
        self._crowded = False

    async def ask(
        self, who: Key, texts: Sequence[str], at: float, built_in: Collection[str]
    ) -> Sequence[InstantAnswer]:
        """Return the answers, in the order of the texts.

        Args:
            who: the twin.
            texts: the queries.
            at: Unix seconds.
            built_in: those texts that are known to be valid, of type instant vector, and of every twin.

        Raises:
            MetricsUnavailable: the source did not answer.
            SpecError: it refuses the operator.
        """
        if not texts:
            return ()
        now = time.monotonic()
        self._crowded = now - self._asked_at < CROWD_SECONDS
        self._asked_at = now
        ask = Ask(who, len(texts))
        background = self._singles.slow_requesters.is_slow(who)
        own = Share(at, (who[0], "joined") if who[0] else who, built_in=False, background=background)
        common = Share(at, _ALL, built_in=True, background=background)
        for index, text in enumerate(texts):
            wait = self._singles.slow.wait(text)
            if wait:
                ask.answer(index, InstantAnswer(error="timeout", next_attempt=at + wait))
            else:
                self._add(common if text in built_in else own, text, now + self._timeout, (ask, index))
        await ask.future
        return ask.answers

    def _add(self, share: Share, text: str, until: float, asker: tuple[Ask, int]) -> None:
        if self._singles.take(share, text, until, asker):
            return
        if text in self._singles.partial:
            share = share._replace(partial=True)
        group = self._groups.get(share)
        if group is None:
            group = self._groups[share] = Group(share)
        known = group.waiting.get(text)
        if known is not None:
            known.askers.append(asker)
            return
        group.waiting[text] = Question(text, until, [asker])
        if group.senders < SENDERS:
            group.senders += 1
            self._tasks.start(group.waiting.values(), self._send_waiting, group)

    async def _send_waiting(self, group: Group) -> None:
        """Send what waits in a group, one request after the other, until nothing waits."""
        try:
            while group.waiting:
                if self._crowded:
                    await asyncio.sleep(WINDOW_SECONDS)
                permit = await self._permit_for(group)
                if permit is not None:
                    questions = group.take(self._sizes[group.share.owner[0]].texts, MOST_CHARACTERS)
                    await guarded(questions, self._send, questions, group.share, permit)
        finally:
            group.senders -= 1
            if not group.waiting and not group.senders:
                self._groups.pop(group.share, None)

    async def _permit_for(self, group: Group) -> Permit | None:
        """Return a permit, None when nothing waits any more, or the oldest questions were given up instead."""
        if not group.waiting:
            return None
        # The first one waits longest.
        first = next(iter(group.waiting.values()))
        try:
            return await self._permit(group.share, first)
        except MetricsBusy:
            for question in group.expired(first.until):
                question.answer(BUSY)
            return None

    async def _send(self, questions: Sequence[Question], share: Share, permit: Permit, strikes: int = 0) -> None:
        """Ask the questions in one request, and see to those that this leaves without an answer.

        Args:
            questions: of one share.
            share: theirs.
            permit: for the request.
            strikes: joined requests with these questions that have timed out.
        """
        if not questions:
            permit.release()
            return
        if len(questions) == 1:
            self._singles.start(questions[0], share, permit)
            return
        began = time.monotonic()
        try:
            answers = await self._connections.ask_joined(
                [question.text for question in questions],
                share.at,
                permit,
                check=not share.built_in,
                seconds=self._joined_timeout,
            )
        except NoAnswer:
            self._split_slow(questions, share, strikes)
        except QueryFailed as failure:
            self._refused(failure.kind, questions, share, strikes)
        except Unusable as error:
            self._unusable(error, questions, share, strikes)
        except MetricsUnavailable as error:
            self._tasks.start(questions, self._ask_first, questions, share, error)
        else:
            self._answered(questions, answers, share, time.monotonic() - began)

    def _answered(
        self, questions: Sequence[Question], answers: Sequence[InstantAnswer | None], share: Share, took: float
    ) -> None:
        for question, answer in zip(questions, answers, strict=True):
            if answer is None:
                self._singles.set_apart(question, share)
                continue
            if share.partial:
                self._singles.partial.discard(question.text)
            question.answer(answer)
        size = self._sizes[share.owner[0]]
        if took > self._joined_timeout * SLOW_SHARE:
            size.slow(len(questions))
        else:
            size.quick(len(questions))

    def _refused(self, kind: str, questions: Sequence[Question], share: Share, strikes: int) -> None:
        if kind == "timeout":
            self._split_slow(questions, share, strikes)
        elif kind not in (PARTIAL, NO_STORE) or (not share.partial and self._allowance.take(2)):
            self._halve(questions, share, strikes)
        else:
            for question in questions:
                question.answer(_PARTIAL)

    def _unusable(self, error: Unusable, questions: Sequence[Question], share: Share, strikes: int) -> None:
        large = set(error.large if isinstance(error, Truncated) else range(len(questions)))
        for index in large:
            self._singles.set_apart(questions[index], share)
        rest = [question for index, question in enumerate(questions) if index not in large]
        if large:
            self._again(rest, share, strikes)
        else:
            self._halve(rest, share, strikes)

    def _split_slow(self, questions: Sequence[Question], share: Share, strikes: int) -> None:
        if not strikes:
            self._sizes[share.owner[0]].slow(len(questions))
        size = 1 if strikes else math.isqrt(len(questions))
        for part in in_parts(questions, size):
            self._again(part, share, strikes + 1)

    def _halve(self, questions: Sequence[Question], share: Share, strikes: int) -> None:
        for part in in_parts(questions, -(-len(questions) // 2)):
            self._again(part, share, strikes)

    def _again(self, questions: Sequence[Question], share: Share, strikes: int) -> None:
        if len(questions) == 1:
            self._singles.start(questions[0], share)
        elif questions:
            self._tasks.start(questions, self._send_again, questions, share, strikes)

    async def _send_again(self, questions: Sequence[Question], share: Share, strikes: int) -> None:
        try:
            permit = await self._permit(share, questions[0])
        except MetricsBusy:
            for question in questions:
                question.answer(BUSY)
            return
        await self._send([question for question in questions if question.wanted], share, permit, strikes)

    async def _ask_first(self, questions: Sequence[Question], share: Share, error: MetricsUnavailable) -> None:
        """Find out whether the source failed, or only the joined request.

        Raises:
            MetricsUnavailable: the source.
        """
        first, *others = questions
        await asyncio.sleep(LONGEST_JITTER * fraction(first.text))
        try:
            permit = await self._permit(share, first)
        except MetricsBusy:
            raise error from None
        first.answer(await self._singles.ask_one(first, share.at, permit))
        self._sizes[share.owner[0]].slow(len(questions))
        self._halve(others, share, 0)

    async def _permit(self, share: Share, first: Question) -> Permit:
        return await self._connections.permit(share.owner, first.seconds_left, background=share.background)
