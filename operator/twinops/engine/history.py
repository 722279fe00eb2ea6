"""One twin between its syncs: what its memory rests on, what is missing, and what waits to be taken in."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.forecaster import RECENT_STEPS, SCALED, TwinMemory
from twinops.core.metrics.definitions import CPU
from twinops.core.metrics.plan import sync_step
from twinops.core.metrics.queries import PARTIAL
from twinops.core.observation import Sample
from twinops.core.schedule import fraction
from twinops.engine.slots import Slots, Span, Trouble
from twinops.ports.metrics import SourceAccess

MOST_WAITING = 240
"""Syncs that wait for a past that is being read; of more, the oldest are forgotten."""

REPLICAS = ""
"""Stands for the number of pods among the metrics that are read; no metric has an empty name."""

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
        replicas_query: counts the pods behind ``cpuUsage`` over time, empty when it is not known to be a mean over any.
        replicas: so many there are now, None where they are not known.
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


@dataclass(frozen=True, slots=True)
class Shape:
    """What a whole memory depends on. Credentials do not: tokens change by the hour."""

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    slots: Slots
    horizons: tuple[int, ...]
    history_seconds: int
    learned: bool

    @classmethod
    def of(cls, uid: str, source: SourceAccess, spec: DigitalTwinSpec) -> Shape:
        """Return the shape of a twin's memory."""
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
class Tick:
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


class TwinHistory:
    """One twin's memory, and what is under way to better it.

    Attributes:
        queries: by metric, the newest that is known.
        learned_from: those whose past the memory holds.
        recorded: metrics among them whose past could be read.
        learned_at: Unix seconds of the last time that its past was read.
        troubles: of metrics whose past could not be read.
        waiting: syncs that wait for ``reading`` to end; only the newest until it has its turn.
        missed: syncs that what comes out of ``warming`` has yet to take in.
        begun: whether ``reading`` has had its turn.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.memory: TwinMemory | None = None
        self.queries: dict[str, str] = {}
        self.learned_from: dict[str, str] = {}
        self.recorded: frozenset[str] = frozenset()
        self.learned_at = 0.0
        self.troubles: dict[str, Trouble] = {}
        self.waiting: list[Tick] = []
        self.missed: list[Tick] = []
        self.begun = False
        self.reading: asyncio.Task[None] | None = None
        self.warming: asyncio.Task[None] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have a query, sorted."""
        return tuple(sorted(metric for metric in self.queries if metric != REPLICAS))

    def follow(self, moment: Moment) -> None:
        """Take over the queries of a sync; a metric that has none this time keeps the one it had."""
        before = self.queries
        queries = {metric: moment.queries.get(metric) or before.get(metric, "") for metric in moment.samples}
        # A CPU that answers without one is a person's own: the pods of the query before are not those behind it.
        queries[REPLICAS] = moment.replicas_query or ("" if moment.queries.get(CPU) else before.get(REPLICAS, ""))
        self.queries = {metric: promql for metric, promql in queries.items() if promql}
        self.troubles = {m: t for m, t in self.troubles.items() if self.queries.get(m) == self.learned_from.get(m)}

    def tick(self, moment: Moment) -> Tick:
        """Return what a sync knows, on the nearest slot; of a metric that was learned by another query nothing."""
        slot = self.shape.slots.nearest(moment.now)
        same = {m for m in self.metrics if self.learned_from.get(m, self.queries[m]) == self.queries[m]}
        values = {m: s.value for m, s in moment.samples.items() if m in same and s.actionable}
        if moment.replicas_query and moment.replicas is None:
            # What all pods have together is remembered, and how many there are is not known.
            values = {metric: value for metric, value in values.items() if metric not in SCALED}
        return Tick(slot, self.shape.slots.time(slot), values, moment)

    def must_learn(self, tick: Tick) -> bool:
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

    def useless(self, tick: Tick) -> bool:
        """Tell whether what is known is of no use: of long ago, or of after now because a clock was ahead."""
        newest = None if self.memory is None else self.memory.newest
        return newest is not None and not 0 <= tick.slot - newest <= RECENT_STEPS

    def _differs(self, metric: str) -> bool:
        return self.queries.get(metric) != self.learned_from.get(metric)

    def gap(self, tick: Tick) -> Span | None:
        """Return the slots between the last sync and this one, None when there are none or nobody knows of them."""
        newest = None if self.memory is None else self.memory.newest
        if newest is None or tick.slot <= newest + 1 or not tick.values:
            return None
        return Span(self.shape.slots, newest + 1, tick.slot - 1)

    def doubt(self, metrics: Iterable[str], now: float) -> None:
        """Note that a gap of these metrics could be read in part only: their whole past is read again, later."""
        for metric in metrics:
            self.troubles.setdefault(metric, Trouble()).failed(now, PARTIAL)
            self.recorded -= {metric}

    def begin(self) -> Tick:
        """Note that reading has its turn, and return the sync as of which to read."""
        self.begun = True
        return self.waiting[-1]

    def wait(self, tick: Tick) -> None:
        """Keep a tick until what is being read is there; what is read in any case need not be kept."""
        self.waiting = [*self.waiting, tick][-MOST_WAITING:] if self.begun else [tick]

    def read(self) -> None:
        """Note that reading is over, and take in the syncs since."""
        self.reading, self.begun = None, False
        waiting, self.waiting = self.waiting, []
        for tick in waiting:
            self.take_in(tick)

    def new_memory(self) -> TwinMemory:
        """Return a memory of these metrics that knows nothing."""
        shape = self.shape
        return TwinMemory(self.metrics, shape.slots.step, shape.horizons, learned=shape.learned)

    def take_in(self, tick: Tick) -> None:
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
