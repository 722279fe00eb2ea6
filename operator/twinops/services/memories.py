"""Memories: what each twin has learned from its past, kept up by its syncs and rebuilt from Prometheus."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import math
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from twinops.api.twin import DigitalTwinSpec
from twinops.core.memory import QUICK_ORIGINS, RECENT_STEPS, Recorded, TwinMemory
from twinops.core.observation import Sample
from twinops.core.outlook import Outlook
from twinops.core.schedule import fraction
from twinops.services.gathering.past import Slots, Span, Trouble, spans
from twinops.services.gathering.plan import sync_step
from twinops.services.gathering.reading import Past, PastReader
from twinops.services.ports import MetricsBackend, SourceAccess

log = structlog.get_logger()

MOST_WAITING = 240
"""Syncs that wait for a past that is being read; of more, the oldest are forgotten."""

_REPLICAS = ""
"""Stands for the number of pods among the metrics that are read; no metric has an empty name."""

_MARK = 4
"""Characters before a state in status that tell from which query it was learned; in another unit it is of no use."""

RELEARN_PAUSE = 300.0
"""Seconds between two readings of a past because a query is another one, so that one that flaps costs little."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What one sync hands to the memory.

    Attributes:
        now: Unix seconds.
        queries: rendered query by metric; a metric that is left out keeps the past it has.
        samples: by metric; a metric that is not among them is forgotten. Only good ones count.
        limits: in force now, by metric.
        replicas_query: counts the target's pods over time, empty when there is none.
        replicas: pods behind ``cpuUsage`` now, None where they are not known.
        unscored: metrics that a correction bends: nothing is learned from them.
        unjudged: metrics whose limit a correction moves: no chance of crossing it is learned.
        at_least: metrics whose value is only a lower bound.
        states: what a restart resumes from, by metric.
    """

    now: float
    queries: Mapping[str, str]
    samples: Mapping[str, Sample]
    limits: Mapping[str, float] = field(default_factory=dict)
    replicas_query: str = ""
    replicas: int | None = None
    unscored: Collection[str] = ()
    unjudged: Collection[str] = ()
    at_least: Collection[str] = ()
    states: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """What the memory says at a sync.

    Attributes:
        complete: False while something that can be had is still to be read from Prometheus.
    """

    outlook: Outlook
    complete: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a whole memory depends on. Credentials do not: tokens change by the hour."""

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    slots: Slots
    horizons: tuple[int, ...]
    history_seconds: int
    learned: bool

    @classmethod
    def of(cls, uid: str, source: SourceAccess, spec: DigitalTwinSpec) -> _Shape:
        step = sync_step(spec.sync_frequency_seconds)
        return cls(
            source=source.name,
            url=source.spec.url,
            headers=tuple(sorted(source.spec.headers.items())),
            # The daemon ticks on this grid, see ``core.schedule``: values then lie in the middle of their slots.
            slots=Slots(step, int(fraction(uid) * spec.sync_frequency_seconds) % step),
            horizons=tuple(spec.predictions.horizons_seconds),
            history_seconds=spec.predictions.history_seconds,
            learned=spec.expected_state.learned,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tick:
    """What is known of one slot.

    Attributes:
        values: by metric; the memory does without those that it was not made for.
    """

    slot: int
    time: float
    values: Mapping[str, float | None]
    moment: Moment

    def into(self, memory: TwinMemory) -> None:
        """Let a memory take this in, unless it is about what the memory knows already."""
        moment = self.moment
        if memory.newest is None or self.slot >= memory.newest:
            memory.observe(
                self.time,
                self.values,
                limits=moment.limits,
                replicas=moment.replicas,
                unscored=moment.unscored,
                unjudged=moment.unjudged,
                at_least=moment.at_least,
            )


class _Twin:
    """One twin's memory, and what is under way to better it.

    Attributes:
        queries: by metric, the newest that is known.
        learned_from: those whose past the memory holds.
        recorded: metrics among them whose past could be read.
        learned_at: Unix seconds of the last time that its past was read.
        troubles: of metrics whose past could not be read.
        waiting: syncs that wait for ``reading`` to end.
        missed: syncs that what comes out of ``warming`` has yet to take in.
    """

    def __init__(self, shape: _Shape) -> None:
        self.shape = shape
        self.memory: TwinMemory | None = None
        self.queries: dict[str, str] = {}
        self.learned_from: dict[str, str] = {}
        self.recorded: frozenset[str] = frozenset()
        self.learned_at = 0.0
        self.troubles: dict[str, Trouble] = {}
        self.waiting: list[_Tick] = []
        self.missed: list[_Tick] = []
        self.reading: asyncio.Task[None] | None = None
        self.warming: asyncio.Task[None] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have a query, sorted."""
        return tuple(sorted(metric for metric in self.queries if metric != _REPLICAS))

    def follow(self, moment: Moment) -> None:
        """Take over the queries of a sync; a metric that has none this time keeps the one it had."""
        before = self.queries
        queries = {metric: moment.queries.get(metric) or before.get(metric, "") for metric in moment.samples}
        queries[_REPLICAS] = moment.replicas_query or before.get(_REPLICAS, "")
        self.queries = {metric: promql for metric, promql in queries.items() if promql}
        self.troubles = {m: t for m, t in self.troubles.items() if self.queries.get(m) == self.learned_from.get(m)}

    def tick(self, moment: Moment) -> _Tick:
        """Return what a sync knows, on the nearest slot; of a metric that was learned by another query nothing."""
        slot = self.shape.slots.nearest(moment.now)
        same = {m for m in self.metrics if self.learned_from.get(m, self.queries[m]) == self.queries[m]}
        values = {m: s.value for m, s in moment.samples.items() if m in same and s.actionable}
        return _Tick(slot, self.shape.slots.time(slot), values, moment)

    def must_learn(self, tick: _Tick) -> bool:
        """Tell whether the past is to be read, for the first time or again."""
        memory, now = self.memory, tick.moment.now
        if memory is None:
            return bool(self.queries)
        if self.queries != self.learned_from:
            different = {m for m in {*self.queries, *self.learned_from} if self._differs(m)}
            known = memory.outlook().samples
            soon = any(m not in self.learned_from or m not in self.queries or not known.get(m) for m in different)
            return soon or not 0 <= now - self.learned_at < RELEARN_PAUSE
        return self.useless(tick) or any(not trouble.rests(now) for trouble in self.troubles.values())

    def useless(self, tick: _Tick) -> bool:
        """Tell whether what is known is of no use: of long ago, or of after now because a clock was ahead."""
        newest = None if self.memory is None else self.memory.newest
        return newest is not None and not 0 <= tick.slot - newest <= RECENT_STEPS

    def _differs(self, metric: str) -> bool:
        return self.queries.get(metric) != self.learned_from.get(metric)

    def gap(self, tick: _Tick) -> Span | None:
        """Return the slots between the last sync and this one, None when there are none or nobody knows of them."""
        newest = None if self.memory is None else self.memory.newest
        if newest is None or tick.slot <= newest + 1 or not tick.values:
            return None
        return Span(self.shape.slots, newest + 1, tick.slot - 1)

    def take_in(self, tick: _Tick) -> None:
        """Let the memory, and the one that is being made, know of a tick."""
        if self.memory is not None:
            tick.into(self.memory)
        if self.warming is not None:
            self.missed.append(tick)

    def cancel(self) -> None:
        """End what is under way."""
        for task in (self.reading, self.warming):
            if task is not None:
                task.cancel()


class MemoryKeeper:
    """Keeps the memory of every twin; a restart learns it again, or resumes it from status.

    Reading happens in the background, for a bounded number of twins at once, so that ten thousand twins
    after a restart neither flood Prometheus nor wait for each other. A sync waits for its own a short
    while, unless many others stand in line; what comes later is there at the next one. A read that fails
    is tried again after a pause that grows, by itself, and in more pieces.

    The first answer rests on a short backtest; the whole one follows in the background.

    Args:
        backend: where range queries are sent.
        loads: twins whose past is read at once; syncs of as many more wait for their turn.
        patience_seconds: how long a sync waits for its past.
    """

    def __init__(self, backend: MetricsBackend, *, loads: int = 4, patience_seconds: float = 3.0) -> None:
        self._reader = PastReader(backend)
        self._places = asyncio.Semaphore(loads)
        self._worth_waiting = 2 * loads
        self._patience = patience_seconds
        # One at a time: it is all computing, and syncs go first.
        self._warm_place = asyncio.Semaphore(1)
        self._twins: dict[str, _Twin] = {}
        self._reading: set[str] = set()

    async def update(self, uid: str, source: SourceAccess, spec: DigitalTwinSpec, moment: Moment) -> Remembered:
        """Take in what a sync gathered, read what is missing, and return the outlook as of now.

        The past is read anew when a metric's query (and so its window), the source, the step, the horizons or
        the length changes. Gaps of more than one slot, which long intervals and outages leave, are read from
        Prometheus with the next sync that has values.

        Args:
            uid: the twin's.
            source: the twin's MetricsSource.
            spec: the twin's.
            moment: what the sync gathered.
        """
        shape = _Shape.of(uid, source, spec)
        twin = self._twins.get(uid)
        if twin is None or twin.shape != shape:
            self.drop(uid)
            twin = self._twins[uid] = _Twin(shape)
        twin.follow(moment)
        tick = twin.tick(moment)
        if twin.reading is None:
            if twin.must_learn(tick):
                self._start(uid, twin, partial(self._learn, uid, twin, source, tick))
            elif gap := twin.gap(tick):
                self._start(uid, twin, partial(self._fill, uid, twin, source, tick, gap))
        if twin.reading is None:
            twin.take_in(tick)
        else:
            twin.waiting = [*twin.waiting, tick][-MOST_WAITING:]
            if len(self._reading) <= self._worth_waiting:
                # Further back in the line a sync would only keep its own place from others, for nothing.
                await asyncio.wait({twin.reading}, timeout=self._patience)
        outlook = Outlook() if twin.memory is None else _signed(twin.memory.outlook(), twin.learned_from)
        complete = twin.reading is None and all(trouble.given_up for trouble in twin.troubles.values())
        return Remembered(dataclasses.replace(outlook, warming=twin.warming is not None), complete)

    def drop(self, uid: str) -> None:
        """Forget a twin."""
        twin = self._twins.pop(uid, None)
        self._reading.discard(uid)
        if twin is not None:
            twin.cancel()

    async def aclose(self) -> None:
        """Forget all twins."""
        running = [task for twin in self._twins.values() for task in (twin.reading, twin.warming) if task is not None]
        for uid in list(self._twins):
            self.drop(uid)
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, uid: str, twin: _Twin, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._reading.add(uid)
        twin.reading = asyncio.create_task(self._through(uid, twin, job))

    async def _through(self, uid: str, twin: _Twin, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the job when there is a place, then let the memory know of the syncs since."""
        try:
            async with self._places:
                await job()
        except Exception:  # A defect of ours: without this, the next sync would run into it again.
            log.exception("history could not be learned from", twin=uid)
            twin.memory, twin.learned_from = self._new_memory(twin), dict(twin.queries)
        finally:
            if self._twins.get(uid) is twin:
                self._reading.discard(uid)
                twin.reading = None
                waiting, twin.waiting = twin.waiting, []
                for tick in waiting:
                    twin.take_in(tick)

    async def _learn(self, uid: str, twin: _Twin, source: SourceAccess, tick: _Tick) -> None:
        """Read the whole past, and make a memory of it."""
        shape, moment, queries = twin.shape, tick.moment, dict(twin.queries)
        pieces = {metric: trouble.pieces for metric, trouble in twin.troubles.items()}
        when = spans(shape.slots, tick.slot, shape.history_seconds)
        past = await self._reader.read(source, queries, when, pieces, twin=uid)
        for metric, error in past.failed.items():
            twin.troubles.setdefault(metric, Trouble()).failed(moment.now, error)
        twin.troubles = {metric: trouble for metric, trouble in twin.troubles.items() if metric in past.failed}
        same = twin.memory is not None and queries == twin.learned_from and not twin.useless(tick)
        if same and past.recorded.keys() <= twin.recorded:
            return  # nothing new: what is known stays, and what was seen since of those that failed
        if twin.warming is not None:
            twin.warming.cancel()
            twin.warming = None
        memory = self._new_memory(twin)
        if past.recorded:
            await asyncio.to_thread(_learn, memory, past, moment, queries, QUICK_ORIGINS)
        twin.memory, twin.learned_from, twin.learned_at, twin.missed = memory, queries, moment.now, []
        twin.recorded = frozenset(past.recorded)
        if memory.cold:
            twin.warming = asyncio.create_task(self._warm_up(uid, twin, past, moment))

    async def _warm_up(self, uid: str, twin: _Twin, past: Past, moment: Moment) -> None:
        """Learn from the whole past, and take the place of what was learned in a hurry."""
        memory = self._new_memory(twin)
        try:
            async with self._warm_place:
                await asyncio.to_thread(_learn, memory, past, moment, twin.learned_from, None)
            for tick in twin.missed:
                tick.into(memory)
            twin.memory = memory
        finally:
            if self._twins.get(uid) is twin and twin.warming is asyncio.current_task():
                twin.warming, twin.missed = None, []

    async def _fill(self, uid: str, twin: _Twin, source: SourceAccess, tick: _Tick, gap: Span) -> None:
        """Read what lies between the last sync and this one."""
        queries = {metric: promql for metric, promql in twin.queries.items() if metric != _REPLICAS}
        past = await self._reader.read(source, queries, (gap, None), {}, twin=uid)
        series = {metric: one.recent.values.tolist() for metric, one in past.recorded.items()}
        for entry, slot in enumerate(range(gap.first, gap.last + 1)):
            values = {metric: known[entry] for metric, known in series.items() if math.isfinite(known[entry])}
            twin.take_in(_Tick(slot, gap.slots.time(slot), values, tick.moment))

    def _new_memory(self, twin: _Twin) -> TwinMemory:
        shape = twin.shape
        return TwinMemory(twin.metrics, shape.slots.step, shape.horizons, learned=shape.learned)


def _learn(memory: TwinMemory, past: Past, moment: Moment, queries: Mapping[str, str], origins: int | None) -> None:
    recorded: dict[str, Recorded] = dict(past.recorded)
    replicas = recorded.pop(_REPLICAS, None)
    # The whole look back takes them over, too: it does not know what corrections bent, they do.
    states = _own(moment.states, queries)
    memory.learn(recorded, limits=moment.limits, replicas=replicas, origins=origins, states=states)


def _signed(outlook: Outlook, queries: Mapping[str, str]) -> Outlook:
    """Return the outlook with every state marked by the query that it was learned from."""
    skills = tuple(
        dataclasses.replace(one, state=_mark(queries.get(one.metric, "")) + one.state) for one in outlook.skills
    )
    return dataclasses.replace(outlook, skills=skills)


def _own(states: Mapping[str, str], queries: Mapping[str, str]) -> dict[str, str]:
    """Return the states that were learned from these queries, without their marks."""
    return {
        metric: text[_MARK:]
        for metric, text in states.items()
        if metric in queries and text[:_MARK] == _mark(queries[metric])
    }


def _mark(promql: str) -> str:
    return base64.b64encode(hashlib.blake2b(promql.encode(), digest_size=3).digest()).decode()
