"""What history one twin has: a state machine that owns its forecaster and the tasks that improve it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Coroutine, Mapping, Sequence
from enum import Enum
from typing import Any

import structlog

from twinops.core.forecast.forecaster import RECENT_STEPS, Forecaster
from twinops.core.forecast.restart_state import encode
from twinops.core.forecast.result import ForecastResult, Skill
from twinops.engine.forecast_input import ForecastInput, SlotInput
from twinops.engine.forecaster_key import ForecasterKey
from twinops.engine.history_queries import HistoryQueries, Learned
from twinops.engine.history_tasks import Read, ReadKind, WarmUp
from twinops.engine.restart_states import marked
from twinops.engine.time_grid import Span

log = structlog.get_logger()


class HistoryState(Enum):
    """What a twin's forecasts rest on; ``TwinHistory`` lists the transitions."""

    EMPTY = "no forecaster, and nothing is being read"
    LOADING = "no forecaster yet: the whole history is being read and learned from"
    QUICK = "a forecaster from a short backtest; the whole backtest waits for its turn"
    WARMING = "a forecaster from a short backtest; the whole backtest is being computed"
    READY = "a forecaster, and no backtest is to come"
    CLOSED = "the twin is gone"


class InvalidTransition(RuntimeError):
    """A transition from a state that does not allow it: a defect."""


_WARM_UP = frozenset({HistoryState.QUICK, HistoryState.WARMING})
_FORECASTING = frozenset({*_WARM_UP, HistoryState.READY})


class TwinHistory:
    """One twin's forecaster, the reads that fill it and the backtest that improves it.

    Transitions, and the only methods that assign ``state``:

    ==============  ========================  =======  ==============================================================
    from            method                    to       when
    ==============  ========================  =======  ==============================================================
    EMPTY           ``start_read``            LOADING  at the first sync with a query
    LOADING, READY  ``learned``               QUICK    from the newest origins only; a warm-up task was started
    LOADING, READY  ``learned``               READY    from all that could be read, which may be nothing
    LOADING         read ended by a defect    READY    with a forecaster that starts empty
    LOADING         read was cancelled        EMPTY    so that the next sync starts another
    QUICK           ``begin_warm_up``         WARMING  the whole backtest has its turn
    WARMING         ``warmed_up``             READY    its forecaster replaces the quick one
    QUICK, WARMING  warm-up failed/cancelled  READY    with the quick forecaster
    QUICK, WARMING  ``discard_warm_up``       READY    a reload brought a history that will replace this one
    any             ``close``                 CLOSED   tasks are cancelled; nothing leaves this state
    ==============  ========================  =======  ==============================================================

    A read (``read``) is always in flight in LOADING, of kind LOAD, and never in EMPTY and CLOSED. In QUICK, WARMING
    and READY one of kind RELOAD or FILL may be in flight; it changes the state by ``learned`` only. While one is in
    flight, inputs of syncs wait, and are taken in in their order when it ends: by ``learned``, or with its task.

    Args:
        uid: the twin's.
        key: what the forecaster depends on; another key needs another history.

    Attributes:
        queries: of the twin's metrics, and what is known of each query's history.
        read: None when none is in flight.
        warm_up: None but in QUICK and WARMING.
    """

    def __init__(self, uid: str, key: ForecasterKey) -> None:
        self.uid = uid
        self.key = key
        self.queries = HistoryQueries()
        self.read: Read | None = None
        self.warm_up: WarmUp | None = None
        self._state = HistoryState.EMPTY
        self._forecaster: Forecaster | None = None
        self._packed: tuple[tuple[tuple[str, str, str], ...], str] = ((), "")

    @property
    def state(self) -> HistoryState:
        """What the forecasts rest on."""
        return self._state

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks under way."""
        return [one.task for one in (self.read, self.warm_up) if one is not None]

    def result(self) -> ForecastResult:
        """Return the forecasts as of the newest input, and the restart state behind them."""
        found = ForecastResult() if self._forecaster is None else self._forecaster.forecast_result()
        return dataclasses.replace(
            found,
            restart_state=self._restart_state(found.skills),
            warming=self._state in _WARM_UP,
            history_complete=self._state is not HistoryState.CLOSED and self.read is None and self.queries.complete,
        )

    def follow(self, given: ForecastInput) -> SlotInput:
        """Take over the queries of a sync, and return its usable values on the nearest slot."""
        self.queries.follow(given)
        grid = self.key.grid
        slot = grid.nearest(given.now)
        return SlotInput(slot, grid.time(slot), self.queries.usable(given), given)

    def read_needed(self, slot_input: SlotInput) -> ReadKind | None:
        """Return what a sync makes it necessary to read; None as well while a read is in flight."""
        if self.read is not None:
            return None
        if self._forecaster is None:
            return ReadKind.LOAD if self.queries.current else None
        samples, now = self._forecaster.forecast_result().samples, slot_input.forecast_input.now
        if self.queries.must_reload(samples, now, outdated=self._outdated(slot_input)):
            return ReadKind.RELOAD
        return ReadKind.FILL if self.gap(slot_input) else None

    def gap(self, slot_input: SlotInput) -> Span | None:
        """Return the slots between the newest input and this one, None when there are none or this has no value."""
        newest = None if self._forecaster is None else self._forecaster.newest
        if newest is None or slot_input.slot <= newest + 1 or not slot_input.values:
            return None
        return Span(self.key.grid, newest + 1, slot_input.slot - 1)

    def take_in(self, slot_input: SlotInput) -> None:
        """Take in a sync's values; while a read is in flight, when it has ended."""
        if self.read is not None:
            self.read.wait(slot_input)
        else:
            self._feed(slot_input)

    def start_read(self, kind: ReadKind, job: Coroutine[Any, Any, None], slot_input: SlotInput) -> asyncio.Task[None]:
        """Start reading for a sync whose values then wait. EMPTY → LOADING.

        Args:
            kind: what is read.
            job: reads; it calls ``begin_read`` first, and then ``learned`` or ``fill``.
            slot_input: the sync's.
        """
        if self.read is not None:
            raise InvalidTransition(f"history of {self.uid}: two reads")
        if kind is ReadKind.LOAD:
            self._move(HistoryState.LOADING, {HistoryState.EMPTY})
        else:
            self._move(self._state, _FORECASTING)
        task = asyncio.create_task(job)
        self.read = Read(kind, task, [slot_input])
        # A callback, since a task that is cancelled before it began runs none of its own code.
        task.add_done_callback(self._read_ended)
        return task

    def begin_read(self) -> SlotInput:
        """Note that the read has its turn, and return the input of the sync up to which to read."""
        read = self._reading(begun=False)
        read.begun = True
        return read.waiting[-1]

    def fill(self, slot_input: SlotInput) -> None:
        """Take in values of a gap, before those of the syncs that wait."""
        self._reading(begun=True)
        self._feed(slot_input)

    def adds_nothing(self, slot_input: SlotInput, queries: Mapping[str, str], recorded: Collection[str]) -> bool:
        """Tell whether the forecaster has learned from the history of all these metrics already."""
        known = self._forecaster is not None and not self._outdated(slot_input)
        return known and self.queries.learned_all(queries, recorded)

    def new_forecaster(self) -> Forecaster:
        """Return a forecaster of the twin's metrics that has learned nothing."""
        key = self.key
        return Forecaster(self.queries.metrics, key.grid.step, key.horizons, learned=key.learned)

    def learned(
        self, forecaster: Forecaster, learned: Learned, warm_up: Coroutine[Any, Any, None] | None
    ) -> asyncio.Task[None] | None:
        """Forecast with a new forecaster, and end the read. LOADING, READY → QUICK with a warm-up, else READY.

        Args:
            forecaster: replaces the one there is.
            learned: what it was learned from.
            warm_up: computes the whole backtest; it calls ``begin_warm_up``, and then ``warmed_up``.

        Returns:
            The warm-up's task.
        """
        self._reading(begun=True)
        state = HistoryState.READY if warm_up is None else HistoryState.QUICK
        self._move(state, {HistoryState.LOADING, HistoryState.READY})
        self._forecaster, self.queries.learned = forecaster, learned
        task = None
        if warm_up is not None:
            task = asyncio.create_task(warm_up)
            task.add_done_callback(self._warm_up_ended)
            self.warm_up = WarmUp(task)
        self._end_read()
        return task

    def begin_warm_up(self) -> None:
        """Note that the whole backtest has its turn. QUICK → WARMING."""
        self._move(HistoryState.WARMING, {HistoryState.QUICK})

    def warmed_up(self, forecaster: Forecaster) -> None:
        """Forecast with the forecaster of the whole backtest, once it has what it missed. WARMING → READY."""
        for slot_input in () if self.warm_up is None else self.warm_up.missed:
            slot_input.feed(forecaster)
        self._move(HistoryState.READY, {HistoryState.WARMING})
        self._forecaster, self.warm_up = forecaster, None

    def discard_warm_up(self) -> None:
        """Cancel the warm-up, if there is one: another history will be learned from. QUICK, WARMING → READY."""
        if self.warm_up is not None:
            self._move(HistoryState.READY, _WARM_UP)
            self.warm_up.task.cancel()
            self.warm_up = None

    def close(self) -> None:
        """Cancel what is under way, so that their permits are released, and drop the forecaster. Any → CLOSED."""
        self._state = HistoryState.CLOSED
        for task in self.tasks:
            task.cancel()
        self.read = self.warm_up = self._forecaster = None

    def _read_ended(self, task: asyncio.Task[None]) -> None:
        if self.read is None or self.read.task is not task:
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            # Without a forecaster, the next sync would run into the same defect.
            log.error("history could not be learned from", twin=self.uid, exc_info=error)
            self._forecaster = self.new_forecaster()
            self.queries.learned = dataclasses.replace(self.queries.learned, queries=dict(self.queries.current))
            if self._state is HistoryState.LOADING:
                self._move(HistoryState.READY, {HistoryState.LOADING})
        elif self._state is HistoryState.LOADING:
            self._move(HistoryState.EMPTY, {HistoryState.LOADING})
        self._end_read()

    def _end_read(self) -> None:
        """Take in the inputs that waited."""
        read, self.read = self.read, None
        for slot_input in () if read is None else read.waiting:
            self._feed(slot_input)

    def _warm_up_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("history could not be learned from as a whole", twin=self.uid, exc_info=error)
        if self.warm_up is not None and self.warm_up.task is task:
            self.warm_up = None
            self._move(HistoryState.READY, _WARM_UP)

    def _restart_state(self, skills: Sequence[Skill]) -> str:
        """Return the restart state as text; it is written anew only when a state, or a query, is another one."""
        queries = self.queries.learned.queries
        key = tuple((one.metric, queries.get(one.metric, ""), one.state) for one in skills)
        if key != self._packed[0]:
            self._packed = (key, encode(marked(skills, queries)))
        return self._packed[1]

    def _outdated(self, slot_input: SlotInput) -> bool:
        """Tell whether the newest input is too old to forecast from, or in the future as the clock was ahead."""
        newest = None if self._forecaster is None else self._forecaster.newest
        return newest is not None and not 0 <= slot_input.slot - newest <= RECENT_STEPS

    def _feed(self, slot_input: SlotInput) -> None:
        if self._forecaster is not None:
            slot_input.feed(self._forecaster)
        if self.warm_up is not None:
            self.warm_up.missed.append(slot_input)

    def _reading(self, *, begun: bool) -> Read:
        """Return the read in flight, which its own task asks for."""
        if self.read is None or self.read.begun is not begun:
            raise InvalidTransition(f"history of twin {self.uid}: no such read in {self._state.name}")
        return self.read

    def _move(self, to: HistoryState, allowed: Collection[HistoryState]) -> None:
        if self._state not in allowed:
            raise InvalidTransition(f"history of twin {self.uid}: {self._state.name} to {to.name}")
        self._state = to
