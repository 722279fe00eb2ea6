"""The states of a twin's history: each transition by name, and any order of events in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fakes.clock import FakeClock, FakeTimeLoop
from fakes.metrics_backend import FakeBackend
from support.histories import Histories
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.queries import PARTIAL
from twinops.core.observation import Sample
from twinops.engine import history as history_module
from twinops.engine import history_loader
from twinops.engine.forecast_input import ForecastInput, SlotInput
from twinops.engine.forecaster_key import ForecasterKey
from twinops.engine.history import HistoryState, InvalidTransition, TwinHistory
from twinops.engine.history_queries import Learned
from twinops.engine.history_tasks import MAX_WAITING, ReadKind
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess

STEP = 60
SPEC = DigitalTwinSpec.from_wire(
    {
        "source": {"systemType": "Custom"},
        "syncFrequencySeconds": STEP,
        "predictions": {"historySeconds": 3600, "horizonsSeconds": [900]},
    }
)
SOURCE = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))

EMPTY, LOADING, QUICK, WARMING, READY, CLOSED = HistoryState
ALLOWED = {
    (EMPTY, LOADING),
    (LOADING, QUICK),
    (LOADING, READY),
    (LOADING, EMPTY),
    (READY, QUICK),
    (QUICK, WARMING),
    (QUICK, READY),
    (WARMING, READY),
}
"""As the table in ``TwinHistory`` says; besides, CLOSED follows any state."""


def sync_input(now: float, number: int = 0, promql: str = "cpu") -> ForecastInput:
    """Return what a sync gathered; its number travels as a limit."""
    samples = {"cpuUsage": Sample("cpuUsage", Quality.GOOD, 50.0)}
    return ForecastInput(now, {"cpuUsage": promql} if promql else {}, samples, limits={"number": float(number)})


def new_history() -> TwinHistory:
    return TwinHistory("uid", ForecasterKey.of("uid", SOURCE, SPEC))


async def forever() -> None:
    await asyncio.Event().wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def start(history: TwinHistory, kind: ReadKind = ReadKind.LOAD, at: float = 0.0) -> asyncio.Task[None]:
    return history.start_read(kind, forever(), history.follow(sync_input(at)))


def learn(history: TwinHistory, *, whole: bool) -> None:
    """Let the read in flight have its turn and learn, and end it."""
    read = history.read
    assert read is not None
    history.begin_read()
    history.learned(history.new_forecaster(), Learned(dict(history.queries.current)), None if whole else forever())
    read.task.cancel()


async def test_load_quick_warming_ready() -> None:
    history = new_history()
    assert history.state is EMPTY
    start(history)
    assert (history.state, history.result().history_complete) == (LOADING, False)
    learn(history, whole=False)
    await settle()
    assert (history.state, history.read, history.result().warming) == (QUICK, None, True)
    history.begin_warm_up()
    assert (history.state, history.result().warming) == (WARMING, True)
    history.warmed_up(history.new_forecaster())
    assert (history.state, history.result().history_complete) == (READY, True)
    history.close()


async def test_a_history_that_is_learned_at_once_is_ready() -> None:
    history = new_history()
    start(history)
    learn(history, whole=True)
    await settle()
    assert (history.state, history.read, history.warm_up) == (READY, None, None)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_load_leaves_nothing_and_can_be_started_again(*, begun: bool) -> None:
    history = new_history()
    task = start(history)
    if begun:
        history.begin_read()
    task.cancel()
    await settle()
    assert (history.state, history.read) == (EMPTY, None)
    assert history.read_needed(history.follow(sync_input(60))) is ReadKind.LOAD


async def test_a_defect_while_loading_is_not_met_again_at_the_next_sync() -> None:
    async def defect() -> None:
        raise ZeroDivisionError

    history = new_history()
    history.start_read(ReadKind.LOAD, defect(), history.follow(sync_input(0)))
    await settle()
    assert (history.state, history.read) == (READY, None)
    assert history.read_needed(history.follow(sync_input(60))) is None


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_warm_up_that_fails_or_is_cancelled_leaves_the_quick_forecaster(
    *, begun: bool, cancelled: bool
) -> None:
    gate = asyncio.Event()

    async def defect() -> None:
        await gate.wait()
        raise ZeroDivisionError

    history = new_history()
    read = start(history)
    history.begin_read()
    quick = history.new_forecaster()
    warm_up = history.learned(quick, Learned(dict(history.queries.current)), defect())
    assert warm_up is not None
    read.cancel()
    if begun:
        history.begin_warm_up()
    if cancelled:
        warm_up.cancel()
    gate.set()
    await settle()
    assert (history.state, history.warm_up, history._forecaster) == (READY, None, quick)


async def test_a_reload_discards_the_warm_up_of_what_it_replaces() -> None:
    history = new_history()
    start(history)
    learn(history, whole=False)
    await settle()
    assert history.warm_up is not None
    task = history.warm_up.task
    start(history, ReadKind.RELOAD, 60)
    assert history.state is QUICK, "a read alone changes nothing"
    history.discard_warm_up()
    history.discard_warm_up()
    assert (history.state, history.result().warming) == (READY, False)
    learn(history, whole=False)
    await settle()
    assert task.cancelled()
    assert history.state is QUICK
    history.close()


@pytest.mark.parametrize("until", [EMPTY, LOADING, QUICK, WARMING, READY])
async def test_close_ends_every_task_from_any_state(until: HistoryState) -> None:
    history = new_history()
    if until is not EMPTY:
        start(history)
    if until in {QUICK, WARMING, READY}:
        learn(history, whole=until is READY)
        await settle()
        start(history, ReadKind.RELOAD, 60)
    if until is WARMING:
        history.begin_warm_up()
    assert history.state is until
    tasks = history.tasks
    history.close()
    history.close()
    await settle()
    assert all(task.cancelled() for task in tasks)
    assert (history.state, history.read, history.warm_up, history._forecaster) == (CLOSED, None, None, None)
    assert not history.result().history_complete


async def test_only_the_newest_sync_waits_for_its_turn_and_all_since_then_for_the_end() -> None:
    history = new_history()
    start(history)
    for minute in range(1, 4):
        history.take_in(history.follow(sync_input(STEP * minute)))
    newest = history.begin_read()
    assert newest.forecast_input.now == STEP * 3
    for minute in range(4, 4 + 2 * MAX_WAITING):
        history.take_in(history.follow(sync_input(STEP * minute)))
    assert history.read is not None
    assert len(history.read.waiting) == MAX_WAITING
    assert history.read.waiting[-1].forecast_input.now == STEP * (3 + 2 * MAX_WAITING)
    history.close()


READS: Mapping[HistoryState, Sequence[ReadKind]] = {
    EMPTY: [ReadKind.RELOAD, ReadKind.FILL],
    LOADING: list(ReadKind),
    QUICK: [ReadKind.LOAD],
    WARMING: [ReadKind.LOAD],
    READY: [ReadKind.LOAD],
    CLOSED: list(ReadKind),
}
STEPS: dict[str, tuple[Callable[[TwinHistory], Any], set[HistoryState]]] = {
    "begin_read": (TwinHistory.begin_read, set(HistoryState) - {LOADING}),
    "fill": (lambda history: history.fill(history.follow(sync_input(0))), set(HistoryState)),
    "learned": (lambda history: history.learned(history.new_forecaster(), Learned(), None), set(HistoryState)),
    "begin_warm_up": (TwinHistory.begin_warm_up, set(HistoryState) - {QUICK}),
    "warmed_up": (lambda history: history.warmed_up(history.new_forecaster()), set(HistoryState) - {WARMING}),
}


async def in_state(state: HistoryState) -> TwinHistory:
    history = new_history()
    if state in {LOADING, QUICK, WARMING, READY}:
        start(history)
    if state in {QUICK, WARMING, READY}:
        learn(history, whole=state is READY)
        await settle()
    if state is WARMING:
        history.begin_warm_up()
    if state is CLOSED:
        history.close()
    return history


@pytest.mark.parametrize("state", HistoryState)
async def test_a_transition_from_another_state_is_refused_and_changes_nothing(state: HistoryState) -> None:
    for name, (step, refused) in STEPS.items():
        history = await in_state(state)
        if state in refused:
            with pytest.raises(InvalidTransition):
                step(history)
            assert history.state is state, name
        history.close()
    for kind in READS[state]:
        history = await in_state(state)
        job = forever()
        with pytest.raises(InvalidTransition):
            history.start_read(kind, job, history.follow(sync_input(0)))
        job.close()
        assert history.state is state
        history.close()


# Any order of events.


class CountingForecaster:
    """Learns as told, and knows which syncs it was given."""

    def __init__(self, metrics: Sequence[str], step: float, horizons: Sequence[int], *, learned: bool) -> None:
        del horizons, learned
        self.metrics = metrics
        self.newest: int | None = None
        self.warming = False
        self.fed: list[tuple[float, int]] = []
        self._step = step

    def learn(self, recorded: Mapping[str, Any], *, origins: int | None, **_: object) -> None:
        self.newest = max(round(one.recent.times[-1] // self._step) for one in recorded.values())
        self.warming = origins is not None

    def observe(self, now: float, values: Mapping[str, float | None], **_: object) -> None:
        del values
        self.newest = max(math.floor(now / self._step), self.newest or 0)

    def forecast_result(self) -> ForecastResult:
        return ForecastResult(samples=dict.fromkeys(self.metrics, 1 if self.newest else 0), warming=self.warming)


@dataclass
class World(FakeBackend):
    """Histories on a backend that answers late, partly, wrongly or not at all, and computing that takes its time."""

    answers: str = "whole"
    latency: float = 5.0
    computing: float = 5.0
    defect: bool = False
    number: int = 0
    histories: list[TwinHistory] = field(default_factory=list)
    syncs: dict[str, asyncio.Task[ForecastResult]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.kept = Histories(self, loads=1, patience_seconds=3.0)
        self.moves: set[tuple[HistoryState, HistoryState]] = set()

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        del source
        await asyncio.sleep(self.latency)
        if self.answers == "down":
            raise MetricsUnavailable("down")
        if self.answers == "defect":
            raise ZeroDivisionError
        return [self._range(query) for query in queries]

    def _range(self, query: RangeQuery) -> RangeAnswer:
        if self.answers != "whole":
            return RangeAnswer(error=self.answers)
        times = np.arange(query.start, query.end + 1, query.step)
        return RangeAnswer(((times, np.ones_like(times)),))

    async def to_thread(self, function: Callable[..., None], *args: object) -> None:
        await asyncio.sleep(self.computing)
        if self.defect:
            raise ZeroDivisionError
        function(*args)

    def sync(self, uid: str, promql: str, url: str) -> None:
        """Sync a twin, unless its last sync still runs."""
        if uid in self.syncs and not self.syncs[uid].done():
            return
        self.number += 1
        given = sync_input(self.clock.now(), self.number, promql)
        source = SourceAccess("default", MetricsSourceSpec(url=url))
        self.syncs[uid] = asyncio.create_task(self.kept.sync(uid, source, SPEC, given))

    def cancel(self, uid: str) -> None:
        """Cancel a twin's tasks from outside."""
        history = self.kept.of(uid)
        for task in () if history is None else history.tasks:
            task.cancel()

    def check(self) -> None:
        """Check that states and fields agree."""
        held = [holder.history for holder in self.kept.holders.values()]
        self.histories += [one for one in held if one is not None and one not in self.histories]
        for history in self.histories:
            reads = set() if history.read is None else {history.read.kind}
            expected: dict[HistoryState, tuple[bool, bool, set[ReadKind]]] = {
                EMPTY: (False, False, set()),
                LOADING: (False, False, {ReadKind.LOAD}),
                QUICK: (True, True, reads - {ReadKind.LOAD}),
                WARMING: (True, True, reads - {ReadKind.LOAD}),
                READY: (True, False, reads - {ReadKind.LOAD}),
                CLOSED: (False, False, set()),
            }
            found = (history._forecaster is not None, history.warm_up is not None, reads)
            assert found == expected[history.state], history.state
            if history.read is not None:
                assert 1 <= len(history.read.waiting) <= (MAX_WAITING if history.read.begun else 1)
            fed = [] if history._forecaster is None else cast("Any", history._forecaster).fed
            assert all(before < after for before, after in itertools.pairwise(fed)), "once, and in order"
        assert self.moves <= ALLOWED

    async def apply(self, event: str, *values: Any) -> None:
        """Let something happen; what is not an action is set from now on."""
        if event == "sync":
            self.sync(*values)
        elif event == "wait":
            await self.wait(*values)
        elif event == "drop":
            self.kept.drop(*values)
        elif event == "cancel":
            self.cancel(*values)
        elif event == "jump":
            self.clock.jump(*values)
        else:
            [value] = values
            setattr(self, event, value)

    async def wait(self, seconds: float) -> None:
        for _ in range(3):
            await asyncio.sleep(seconds / 3)
            self.check()

    async def check_rest(self) -> None:
        """Check that all ends well once nothing more happens."""
        await self.wait(10_000)
        loader = self.kept.loader
        assert (loader._reads.free, loader._histories.free, loader._reading) == (1, 2, {})
        assert (loader._learners._value, loader._warm_ups._value) == (history_loader._LEARNERS, 1)
        for history in self.histories:
            assert history.state in {EMPTY, READY, CLOSED}
            assert not history.tasks
        numbers = {uid: task.result() for uid, task in self.syncs.items() if not task.cancelled()}
        assert numbers.keys() == self.syncs.keys(), "no sync is cancelled with a task it waits for"


UIDS = st.sampled_from(["uid-1", "uid-2", "uid-3"])
SYNCS = st.tuples(
    st.just("sync"),
    UIDS,
    st.sampled_from(["cpu", "cpu", "other", ""]),
    st.sampled_from(["http://prometheus:9090"] * 3 + ["http://thanos:9090"]),
)
WAITS = st.tuples(st.just("wait"), st.sampled_from([1.0, 4.0, 60.0, 60.0, 400.0]))
RARE = st.one_of(
    st.tuples(st.just("answers"), st.sampled_from(["whole", "down", "bad_data", PARTIAL, "defect"])),
    st.tuples(st.sampled_from(["latency", "computing"]), st.sampled_from([0.0, 5.0, 150.0])),
    st.tuples(st.just("defect"), st.booleans()),
    st.tuples(st.just("drop"), UIDS),
    st.tuples(st.just("cancel"), UIDS),
    st.tuples(st.just("jump"), st.sampled_from([86_400.0 * 30, -86_400.0 * 30])),
)
EVENTS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(SYNCS, WAITS, SYNCS, WAITS, RARE)


@settings(max_examples=80, deadline=None)
@given(st.lists(EVENTS, min_size=20, max_size=60))
def test_any_order_of_events_leaves_states_and_fields_in_agreement(events: Sequence[tuple[Any, ...]]) -> None:
    async def scene() -> None:
        world = World()
        feed, move = SlotInput.feed, TwinHistory._move

        def feeding(slot_input: SlotInput, forecaster: Forecaster) -> None:
            number = slot_input.forecast_input.limits["number"]
            cast("Any", forecaster).fed.append((number, slot_input.slot))
            feed(slot_input, forecaster)

        def moving(history: TwinHistory, to: HistoryState, allowed: set[HistoryState]) -> None:
            before = history.state
            move(history, to, allowed)
            if to is not before:
                world.moves.add((before, to))

        # Formatting the tracebacks of so many defects would take most of the time.
        with capture_logs(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(history_module, "Forecaster", CountingForecaster)
            patch.setattr(asyncio, "to_thread", world.to_thread)
            patch.setattr(SlotInput, "feed", feeding)
            patch.setattr(TwinHistory, "_move", moving)
            for name, *values in events:
                await world.apply(name, *values)
                world.check()
                await asyncio.sleep(0)
                world.check()
            await world.check_rest()
            for uid in ["uid-1", "uid-2", "uid-3"]:
                world.kept.drop(uid)
            world.check()
            await world.kept.aclose()

    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(scene())
