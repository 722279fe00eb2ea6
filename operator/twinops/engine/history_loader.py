"""Loads the histories of twins and keeps them up to date, for a bounded number of twins at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.forecaster import QUICK_ORIGINS, Forecaster
from twinops.core.forecast.restart_state import decode
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.queries import PARTIAL
from twinops.engine.fair_semaphore import FairSemaphore
from twinops.engine.forecast_input import REPLICAS, ForecastInput
from twinops.engine.forecaster_key import ForecasterKey
from twinops.engine.history import TwinHistory
from twinops.engine.history_queries import Learned
from twinops.engine.history_reader import HistoryReader, RecordedHistory
from twinops.engine.history_tasks import ReadKind
from twinops.engine.restart_states import unmarked
from twinops.engine.time_grid import history_spans
from twinops.ports.metrics import MetricsBackend, SourceAccess

_FILLED_AT_ONCE = 16
"""Slots of a gap that are taken in before other tasks have their turn: a millisecond each."""

_LEARNERS = 2
"""Short backtests that are computed at the same time, beside one whole backtest."""


class HasHistory(Protocol):
    """Holds the history of one twin from sync to sync, and closes it when the twin is gone.

    Attributes:
        history: None before the first sync.
    """

    history: TwinHistory | None

    @property
    def uid(self) -> str:
        """The twin's UID."""
        ...


class HistoryLoader:
    """Reads what a twin's history lacks, and learns from it in threads.

    Reads run as tasks, for a bounded number of twins at once, so that ten thousand twins after a restart neither
    flood the metrics backend nor wait for each other. A sync waits for its own read a short while, unless many others
    of its source are before it; what comes later is used by the next sync. A read that failed is repeated after a
    backoff, and split into more queries.

    The first forecasts rest on a short backtest; the whole one follows as a task of its own.

    Args:
        backend: where range queries are sent.
        loads: twins whose history is read at once; syncs of as many more of the same source wait for theirs.
        patience_seconds: how long a sync waits for its history.
    """

    def __init__(self, backend: MetricsBackend, *, loads: int = 4, patience_seconds: float = 3.0) -> None:
        self._reader = HistoryReader(backend)
        # By source: while one does not answer, the twins of others are still read.
        self._reads = FairSemaphore(loads, spare=(loads // 4,))
        # A history is large: its permit is held until everything is learned from it.
        self._histories = FairSemaphore(2 * loads, spare=(loads // 2,))
        self._worth_waiting = 2 * loads
        self._patience = patience_seconds
        # Syncs compute in the same threads, and must find one free.
        self._learners = asyncio.Semaphore(_LEARNERS)
        # One at a time: a warm-up only computes, and syncs go first.
        self._warm_ups = asyncio.Semaphore(1)
        self._reading: dict[str, set[asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def sync(
        self, twin: HasHistory, source: SourceAccess, spec: DigitalTwinSpec, forecast_input: ForecastInput
    ) -> ForecastResult:
        """Take in what a sync gathered, read what is missing, and return the forecasts as of now.

        The history is read anew when a metric's query (and so its window), the source, the step, the horizons or
        the length changes. Gaps of more than one slot, which long intervals and outages leave, are read with the
        next sync that has values.

        Args:
            twin: whose history is used; another one is put in its place when what it depends on changes.
            source: the twin's MetricsSource.
            spec: the twin's.
            forecast_input: what the sync gathered.
        """
        history = _history_of(twin, source, spec)
        slot_input = history.follow(forecast_input)
        kind = history.read_needed(slot_input)
        if kind is None:
            history.take_in(slot_input)
        else:
            job = self._fill(history, source) if kind is ReadKind.FILL else self._load(history, source)
            self._count(source.name, history.start_read(kind, job, slot_input))
        if history.read is not None and len(self._reading.get(source.name, ())) <= self._worth_waiting:
            # With more reads before it, a sync would occupy a permit to sync without getting its history in time.
            await asyncio.wait({history.read.task}, timeout=self._patience)
        return history.result()

    async def aclose(self) -> None:
        """Cancel all reads and backtests of all twins. The histories stay, and are closed by those who hold them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it ends, so that ``aclose`` can cancel it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self, source: str, task: asyncio.Task[None]) -> None:
        """Count a read of a source until it ends."""
        self._keep(task)
        self._reading.setdefault(source, set()).add(task)

        def ended(task: asyncio.Task[None]) -> None:
            reading = self._reading[source]
            reading.remove(task)
            if not reading:
                del self._reading[source]

        task.add_done_callback(ended)

    async def _load(self, history: TwinHistory, source: SourceAccess) -> None:
        """Read the whole history, and learn from it."""
        permit = await self._histories.acquire((source.name,))
        warm_up: asyncio.Task[None] | None = None
        try:
            with await self._reads.acquire((source.name,)):
                warm_up = await self._learn_anew(history, source)
        finally:
            if warm_up is None:
                permit.release()
            else:
                warm_up.add_done_callback(lambda _: permit.release())

    async def _learn_anew(self, history: TwinHistory, source: SourceAccess) -> asyncio.Task[None] | None:
        """Read the whole history and forecast from its newest part; return the task that learns from all of it."""
        slot_input, queries = history.begin_read(), dict(history.queries.current)
        given = slot_input.forecast_input
        spans = history_spans(history.key.grid, slot_input.slot, history.key.history_seconds)
        found = await self._reader.read(source, queries, spans, history.queries.pieces, uid=history.uid)
        history.queries.fail(found.failed, given.now)
        if history.adds_nothing(slot_input, queries, found.recorded):
            return None  # The forecaster keeps what it observed of metrics that failed.
        history.discard_warm_up()
        forecaster = history.new_forecaster()
        if found.recorded:
            async with self._learners:
                await asyncio.to_thread(_learn, forecaster, found, given, queries, QUICK_ORIGINS)
        warm_up = self._warm_up(history, found, given, queries) if forecaster.warming else None
        task = history.learned(forecaster, Learned(queries, frozenset(found.recorded), given.now), warm_up)
        if task is not None:
            self._keep(task)
        return task

    async def _warm_up(
        self, history: TwinHistory, found: RecordedHistory, given: ForecastInput, queries: Mapping[str, str]
    ) -> None:
        """Learn from the whole history, and replace the forecaster that was learned from its newest part."""
        forecaster = history.new_forecaster()
        async with self._warm_ups:
            history.begin_warm_up()
            await asyncio.to_thread(_learn, forecaster, found, given, queries, None)
        history.warmed_up(forecaster)

    async def _fill(self, history: TwinHistory, source: SourceAccess) -> None:
        """Read the slots between the last sync and this one."""
        with await self._reads.acquire((source.name,)):
            slot_input = history.begin_read()
            gap = history.gap(slot_input)
            if gap is None:
                return
            queries = dict(history.queries.current)
            found = await self._reader.read(source, queries, (gap, None), {}, uid=history.uid)
        given = slot_input.forecast_input
        history.queries.doubt((metric for metric, error in found.failed.items() if error == PARTIAL), given.now)
        for entry, filled in enumerate(found.slot_inputs(gap, given, counted=REPLICAS in queries)):
            history.fill(filled)
            if entry % _FILLED_AT_ONCE == 0:
                await asyncio.sleep(0)


def _history_of(twin: HasHistory, source: SourceAccess, spec: DigitalTwinSpec) -> TwinHistory:
    """Return the twin's history, an empty one in place of one that depends on something else."""
    key = ForecasterKey.of(twin.uid, source, spec)
    if twin.history is None or twin.history.key != key:
        if twin.history is not None:
            twin.history.close()
        twin.history = TwinHistory(twin.uid, key)
    return twin.history


def _learn(
    forecaster: Forecaster,
    found: RecordedHistory,
    given: ForecastInput,
    queries: Mapping[str, str],
    origins: int | None,
) -> None:
    """Learn from recorded history, in a thread.

    Args:
        forecaster: learns.
        found: the history.
        given: of the sync that it was read for.
        queries: that it was read by, by metric.
        origins: steps of the backtest, None for the whole.
    """
    recorded = dict(found.recorded)
    replicas = recorded.pop(REPLICAS, None)
    # The whole backtest resumes from them, too: unlike recorded values they leave out what corrections bent.
    states = unmarked(decode(given.restart_state), queries)
    forecaster.learn(recorded, limits=given.limits, replicas=replicas, origins=origins, states=states)
