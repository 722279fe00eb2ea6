"""Memories: what each twin has learned from its past, kept up by its syncs and rebuilt from Prometheus."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import math
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.forecaster import QUICK_ORIGINS, Forecaster, Recorded
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.queries import PARTIAL
from twinops.engine.fair_slots import FairSlots
from twinops.engine.history import REPLICAS, ForecasterKey, ForecastInput, SlotInput, TwinHistory
from twinops.engine.history_reader import Past, PastReader
from twinops.engine.slots import Trouble, spans
from twinops.metric_definitions import MEAN_PER_POD
from twinops.ports.metrics import MetricsBackend, SourceAccess

log = structlog.get_logger()

_AT_ONCE = 16
"""Slots of a gap that are taken in before others have their turn: a millisecond each."""

LEARN_AT_ONCE = 2
"""Pasts that are learned from at the same time, beside the one that is learned from as a whole."""

_MARK = 4
"""Characters before a state in status that tell from which query it was learned; in another unit it is of no use."""


@dataclass(frozen=True, slots=True, eq=False)
class CachedResult:
    """What the memory says at a sync.

    Attributes:
        complete: False while something that can be had is still to be read from Prometheus.
    """

    forecast_result: ForecastResult
    complete: bool


class ForecasterCache:
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
        # By source: where one does not answer, the twins of others are still read.
        self._places = FairSlots(loads, spare=(loads // 4,))
        # A past is large: whoever reads one keeps its room until all is learned from it.
        self._rooms = FairSlots(2 * loads, spare=(loads // 2,))
        self._worth_waiting = 2 * loads
        self._patience = patience_seconds
        # Syncs compute in the same threads, and must find one free.
        self._learning = asyncio.Semaphore(LEARN_AT_ONCE)
        # One at a time: it is all computing, and syncs go first.
        self._warm_place = asyncio.Semaphore(1)
        self._twins: dict[str, TwinHistory] = {}
        self._reading: dict[str, set[str]] = {}

    async def update(self, uid: str, source: SourceAccess, spec: DigitalTwinSpec, given: ForecastInput) -> CachedResult:
        """Take in what a sync gathered, read what is missing, and return the outlook as of now.

        The past is read anew when a metric's query (and so its window), the source, the step, the horizons or
        the length changes. Gaps of more than one slot, which long intervals and outages leave, are read from
        Prometheus with the next sync that has values.

        Args:
            uid: the twin's.
            source: the twin's MetricsSource.
            spec: the twin's.
            given: what the sync gathered.
        """
        key = ForecasterKey.of(uid, source, spec)
        twin = self._twins.get(uid)
        if twin is None or twin.key != key:
            self.drop(uid)
            twin = self._twins[uid] = TwinHistory(key)
        twin.follow(given)
        slot_input = twin.slot_input(given)
        if twin.reading is None:
            if twin.must_learn(slot_input):
                self._start(uid, twin, self._learn(uid, twin, source))
            elif twin.gap(slot_input):
                self._start(uid, twin, self._fill(uid, twin, source))
        if twin.reading is None:
            twin.take_in(slot_input)
        else:
            twin.wait(slot_input)
            if len(self._reading.get(source.name, ())) <= self._worth_waiting:
                # Further back in the line a sync would only keep its own place from others, for nothing.
                await asyncio.wait({twin.reading}, timeout=self._patience)
        forecast_result = (
            ForecastResult() if twin.memory is None else _signed(twin.memory.forecast_result(), twin.learned_from)
        )
        complete = twin.reading is None and all(trouble.given_up for trouble in twin.troubles.values())
        return CachedResult(dataclasses.replace(forecast_result, warming=twin.warming is not None), complete)

    def drop(self, uid: str) -> None:
        """Forget a twin."""
        twin = self._twins.pop(uid, None)
        if twin is not None:
            self._no_longer_reads(uid, twin)
            twin.cancel()

    async def aclose(self) -> None:
        """Forget all twins."""
        running = [task for twin in self._twins.values() for task in (twin.reading, twin.warming) if task is not None]
        for uid in list(self._twins):
            self.drop(uid)
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, uid: str, twin: TwinHistory, job: Coroutine[Any, Any, None]) -> None:
        self._reading.setdefault(twin.key.source, set()).add(uid)
        twin.reading = asyncio.create_task(job)
        # Also where it was cancelled before it began.
        twin.reading.add_done_callback(lambda task: self._read(uid, twin, task))

    def _read(self, uid: str, twin: TwinHistory, task: asyncio.Task[None]) -> None:
        """End a reading, whatever came of it."""
        if self._twins.get(uid) is not twin:
            return
        self._no_longer_reads(uid, twin)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect of ours: without a memory, the next sync would run into it again.
            log.error("history could not be learned from", twin=uid, exc_info=error)
            twin.memory, twin.learned_from = twin.new_memory(), dict(twin.queries)
        twin.read()

    def _no_longer_reads(self, uid: str, twin: TwinHistory) -> None:
        reading = self._reading.get(twin.key.source, set())
        reading.discard(uid)
        if not reading:
            self._reading.pop(twin.key.source, None)

    async def _learn(self, uid: str, twin: TwinHistory, source: SourceAccess) -> None:
        """Read the whole past, and make a memory of it."""
        room = await self._rooms.take((source.name,))
        try:
            place = await self._places.take((source.name,))
            try:
                await self._learn_from_past(uid, twin, source)
            finally:
                place.release()
        finally:
            if twin.warming is None:
                room.release()
            else:
                twin.warming.add_done_callback(lambda _: room.release())

    async def _learn_from_past(self, uid: str, twin: TwinHistory, source: SourceAccess) -> None:
        slot_input, queries = twin.begin(), dict(twin.queries)
        given = slot_input.given
        pieces = {metric: trouble.pieces for metric, trouble in twin.troubles.items()}
        when = spans(twin.key.slots, slot_input.slot, twin.key.history_seconds)
        past = _as_counted(await self._reader.read(source, queries, when, pieces, twin=uid), queries)
        for metric, error in past.failed.items():
            twin.troubles.setdefault(metric, Trouble()).failed(given.now, error)
        twin.troubles = {metric: trouble for metric, trouble in twin.troubles.items() if metric in past.failed}
        same = twin.memory is not None and queries == twin.learned_from and not twin.useless(slot_input)
        if same and past.recorded.keys() <= twin.recorded:
            return  # nothing new: what is known stays, and what was seen since of those that failed
        if twin.warming is not None:
            twin.warming.cancel()
            twin.warming = None
        memory = twin.new_memory()
        if past.recorded:
            async with self._learning:
                await asyncio.to_thread(_learn, memory, past, given, queries, QUICK_ORIGINS)
        twin.memory, twin.learned_from, twin.learned_at, twin.missed = memory, queries, given.now, []
        twin.recorded = frozenset(past.recorded)
        if memory.cold:
            twin.warming = asyncio.create_task(self._warm_up(uid, twin, past, given))

    async def _warm_up(self, uid: str, twin: TwinHistory, past: Past, given: ForecastInput) -> None:
        """Learn from the whole past, and take the place of what was learned in a hurry."""
        memory = twin.new_memory()
        try:
            async with self._warm_place:
                await asyncio.to_thread(_learn, memory, past, given, twin.learned_from, None)
            for slot_input in twin.missed:
                slot_input.into(memory)
            twin.memory = memory
        except Exception:  # A defect of ours: the quick answer goes on.
            log.exception("history could not be learned from as a whole", twin=uid)
        finally:
            if twin.warming is asyncio.current_task():
                twin.warming, twin.missed = None, []

    async def _fill(self, uid: str, twin: TwinHistory, source: SourceAccess) -> None:
        """Read what lies between the last sync and this one."""
        place = await self._places.take((source.name,))
        try:
            slot_input = twin.begin()
            gap = twin.gap(slot_input)
            if gap is None:
                return
            queries = dict(twin.queries)
            past = await self._reader.read(source, queries, (gap, None), {}, twin=uid)
        finally:
            place.release()
        past = _as_counted(past, queries)
        twin.doubt((metric for metric, error in past.failed.items() if error == PARTIAL), slot_input.given.now)
        series = {metric: one.recent.values.tolist() for metric, one in past.recorded.items()}
        counts = series.pop(REPLICAS, None)
        for entry, slot in enumerate(range(gap.first, gap.last + 1)):
            pods = None if counts is None or not math.isfinite(counts[entry]) else round(counts[entry])
            values = {
                metric: known[entry]
                for metric, known in series.items()
                if math.isfinite(known[entry])
                and (pods is not None or REPLICAS not in queries or metric not in MEAN_PER_POD)
            }
            given = dataclasses.replace(slot_input.given, replicas=pods)
            twin.take_in(SlotInput(slot, gap.slots.time(slot), values, given))
            if entry % _AT_ONCE == 0:
                await asyncio.sleep(0)


def _as_counted(past: Past, queries: Mapping[str, str]) -> Past:
    """Return the past without the metrics whose pods of then could not be read, or only in part.

    Today's are not those, and what is remembered is a total.
    """
    error = past.failed.get(REPLICAS, "")
    if REPLICAS not in queries or (REPLICAS in past.recorded and error != PARTIAL):
        return past
    totals = past.recorded.keys() & MEAN_PER_POD
    recorded = {metric: one for metric, one in past.recorded.items() if metric not in totals}
    # Who was told of a part asks again; a refusal of the number of pods is remembered with that number alone.
    return Past(recorded, {**past.failed, **dict.fromkeys(totals if error == PARTIAL else (), PARTIAL)})


def _learn(
    memory: Forecaster, past: Past, given: ForecastInput, queries: Mapping[str, str], origins: int | None
) -> None:
    recorded: dict[str, Recorded] = dict(past.recorded)
    replicas = recorded.pop(REPLICAS, None)
    # The whole look back takes them over, too: it does not know what corrections bent, they do.
    states = _own(given.states, queries)
    memory.learn(recorded, limits=given.limits, replicas=replicas, origins=origins, states=states)


def _signed(forecast_result: ForecastResult, queries: Mapping[str, str]) -> ForecastResult:
    """Return the outlook with every state marked by the query that it was learned from."""
    skills = tuple(
        dataclasses.replace(one, state=_mark(queries.get(one.metric, "")) + one.state) for one in forecast_result.skills
    )
    return dataclasses.replace(forecast_result, skills=skills)


def _own(states: Mapping[str, str], queries: Mapping[str, str]) -> dict[str, str]:
    """Return the states that were learned from these queries, without their marks."""
    return {
        metric: text[_MARK:]
        for metric, text in states.items()
        if metric in queries and text[:_MARK] == _mark(queries[metric])
    }


def _mark(promql: str) -> str:
    return base64.b64encode(hashlib.blake2b(promql.encode(), digest_size=3).digest()).decode()
