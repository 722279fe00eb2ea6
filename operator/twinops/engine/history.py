"""One twin between its syncs: what its memory rests on, what is missing, and what waits to be taken in."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.forecaster import RECENT_STEPS, Forecaster
from twinops.core.metrics.durations import sync_step
from twinops.core.metrics.queries import PARTIAL
from twinops.core.observation import Sample
from twinops.core.schedule import fraction
from twinops.engine.slots import Slots, Span, Trouble
from twinops.metric_definitions import CPU, MEAN_PER_POD
from twinops.ports.metrics import SourceAccess

MOST_WAITING = 240
"""Syncs that wait for a past that is being read; of more, the oldest are forgotten."""

REPLICAS = ""
"""Stands for the number of pods among the metrics that are read; no metric has an empty name."""

RELEARN_PAUSE = 300.0
"""Seconds between two readings of a past because a query is another one, so that one that flaps costs little."""


@dataclass(frozen=True, slots=True, eq=False)
class ForecastInput:
    """What one sync hands to the memory.

    Attributes:
        now: Unix seconds.
        queries: rendered query by metric; a metric that is left out keeps the past it has.
        samples: by metric; a metric that is not among them is forgotten. Only good ones count.
        limits: in force now, by metric.
        replicas_query: counts the pods behind ``cpuUsage`` over time, empty when it is not known to be a mean over any.
        replicas: so many there are now, None where they are not known.
        calibration_excluded: metrics that a correction bends: nothing is learned from them.
        risk_excluded: metrics whose limit a correction moves: no chance of crossing it is learned.
        censored: metrics whose value is only a lower bound.
        states: what a restart resumes from, by metric.
    """

    now: float
    queries: Mapping[str, str]
    samples: Mapping[str, Sample]
    limits: Mapping[str, float] = field(default_factory=dict)
    replicas_query: str = ""
    replicas: int | None = None
    calibration_excluded: Collection[str] = ()
    risk_excluded: Collection[str] = ()
    censored: Collection[str] = ()
    states: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForecasterKey:
    """What a whole memory depends on. Credentials do not: tokens change by the hour."""

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    slots: Slots
    horizons: tuple[int, ...]
    history_seconds: int
    learned: bool

    @classmethod
    def of(cls, uid: str, source: SourceAccess, spec: DigitalTwinSpec) -> ForecasterKey:
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
class SlotInput:
    """What is known of one slot.

    Attributes:
        values: by metric; the memory does without those that it was not made for.
    """

    slot: int
    time: float
    values: Mapping[str, float | None]
    given: ForecastInput

    def into(self, memory: Forecaster) -> None:
        """Let a memory take this in, unless it is about what the memory knows already."""
        given = self.given
        if memory.newest is None or self.slot >= memory.newest:
            memory.observe(
                self.time,
                self.values,
                limits=given.limits,
                replicas=given.replicas,
                calibration_excluded=given.calibration_excluded,
                risk_excluded=given.risk_excluded,
                censored=given.censored,
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

    def __init__(self, key: ForecasterKey) -> None:
        self.key = key
        self.memory: Forecaster | None = None
        self.queries: dict[str, str] = {}
        self.learned_from: dict[str, str] = {}
        self.recorded: frozenset[str] = frozenset()
        self.learned_at = 0.0
        self.troubles: dict[str, Trouble] = {}
        self.waiting: list[SlotInput] = []
        self.missed: list[SlotInput] = []
        self.begun = False
        self.reading: asyncio.Task[None] | None = None
        self.warming: asyncio.Task[None] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have a query, sorted."""
        return tuple(sorted(metric for metric in self.queries if metric != REPLICAS))

    def follow(self, given: ForecastInput) -> None:
        """Take over the queries of a sync; a metric that has none this time keeps the one it had."""
        before = self.queries
        queries = {metric: given.queries.get(metric) or before.get(metric, "") for metric in given.samples}
        # A CPU that answers without one is a person's own: the pods of the query before are not those behind it.
        queries[REPLICAS] = given.replicas_query or ("" if given.queries.get(CPU) else before.get(REPLICAS, ""))
        self.queries = {metric: promql for metric, promql in queries.items() if promql}
        self.troubles = {m: t for m, t in self.troubles.items() if self.queries.get(m) == self.learned_from.get(m)}

    def slot_input(self, given: ForecastInput) -> SlotInput:
        """Return what a sync knows, on the nearest slot; of a metric that was learned by another query nothing."""
        slot = self.key.slots.nearest(given.now)
        same = {m for m in self.metrics if self.learned_from.get(m, self.queries[m]) == self.queries[m]}
        values = {m: s.value for m, s in given.samples.items() if m in same and s.actionable}
        if given.replicas_query and given.replicas is None:
            # What all pods have together is remembered, and how many there are is not known.
            values = {metric: value for metric, value in values.items() if metric not in MEAN_PER_POD}
        return SlotInput(slot, self.key.slots.time(slot), values, given)

    def must_learn(self, slot_input: SlotInput) -> bool:
        """Tell whether the past is to be read, for the first time or again."""
        memory, now = self.memory, slot_input.given.now
        if memory is None:
            return bool(self.queries)
        if self.queries != self.learned_from:
            different = {m for m in {*self.queries, *self.learned_from} if self._differs(m)}
            known = memory.forecast_result().samples
            soon = any(m not in self.learned_from or m not in self.queries or not known.get(m) for m in different)
            return soon or not 0 <= now - self.learned_at < RELEARN_PAUSE
        return self.useless(slot_input) or any(not trouble.rests(now) for trouble in self.troubles.values())

    def useless(self, slot_input: SlotInput) -> bool:
        """Tell whether what is known is of no use: of long ago, or of after now because a clock was ahead."""
        newest = None if self.memory is None else self.memory.newest
        return newest is not None and not 0 <= slot_input.slot - newest <= RECENT_STEPS

    def _differs(self, metric: str) -> bool:
        return self.queries.get(metric) != self.learned_from.get(metric)

    def gap(self, slot_input: SlotInput) -> Span | None:
        """Return the slots between the last sync and this one, None when there are none or nobody knows of them."""
        newest = None if self.memory is None else self.memory.newest
        if newest is None or slot_input.slot <= newest + 1 or not slot_input.values:
            return None
        return Span(self.key.slots, newest + 1, slot_input.slot - 1)

    def doubt(self, metrics: Iterable[str], now: float) -> None:
        """Note that a gap of these metrics could be read in part only: their whole past is read again, later."""
        for metric in metrics:
            self.troubles.setdefault(metric, Trouble()).failed(now, PARTIAL)
            self.recorded -= {metric}

    def begin(self) -> SlotInput:
        """Note that reading has its turn, and return the sync as of which to read."""
        self.begun = True
        return self.waiting[-1]

    def wait(self, slot_input: SlotInput) -> None:
        """Keep a tick until what is being read is there; what is read in any case need not be kept."""
        self.waiting = [*self.waiting, slot_input][-MOST_WAITING:] if self.begun else [slot_input]

    def read(self) -> None:
        """Note that reading is over, and take in the syncs since."""
        self.reading, self.begun = None, False
        waiting, self.waiting = self.waiting, []
        for slot_input in waiting:
            self.take_in(slot_input)

    def new_memory(self) -> Forecaster:
        """Return a memory of these metrics that knows nothing."""
        key = self.key
        return Forecaster(self.metrics, key.slots.step, key.horizons, learned=key.learned)

    def take_in(self, slot_input: SlotInput) -> None:
        """Let the memory, and the one that is being made, know of a tick."""
        if self.memory is not None:
            slot_input.into(self.memory)
        if self.warming is not None:
            self.missed.append(slot_input)

    def cancel(self) -> None:
        """End what is under way."""
        for task in (self.reading, self.warming):
            if task is not None:
                task.cancel()
