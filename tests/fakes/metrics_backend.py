"""A metrics backend in memory, for logic that needs chosen answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from twinops.core.metrics.queries import InstantAnswer
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess


@dataclass
class FakeBackend:
    """Answers by the first rule whose text occurs in the query; nothing without a rule.

    Attributes:
        rules: (part of the query, answer), the first that fits wins.
        history: gives the answer to a range query.
        failure: raised instead of any answer.
        gate: range queries wait until it is set.
        batches: the instant queries of each call.
        built_in: the instant queries that were said to be built-in.
        times: the time that each call asks for.
        range_batches: the range queries of each call.
    """

    rules: list[tuple[str, InstantAnswer]] = field(default_factory=list)
    history: Callable[[RangeQuery], RangeAnswer] = lambda _query: RangeAnswer()
    failure: Exception | None = None
    gate: asyncio.Event | None = None
    batches: list[list[str]] = field(default_factory=list)
    built_in: set[str] = field(default_factory=set)
    times: list[float] = field(default_factory=list)
    range_batches: list[list[RangeQuery]] = field(default_factory=list)

    async def instant(
        self, source: SourceAccess, queries: Sequence[str], at: float, *, built_in: Collection[str] = ()
    ) -> Sequence[InstantAnswer]:
        del source
        self.times.append(at)
        self.built_in |= set(built_in)
        self.batches.append(list(queries))
        if self.failure is not None:
            raise self.failure
        return [self._answer(query) for query in queries]

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        del source
        self.range_batches.append(list(queries))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [self.history(query) for query in queries]

    def _answer(self, query: str) -> InstantAnswer:
        return next((answer for part, answer in self.rules if part in query), InstantAnswer())
