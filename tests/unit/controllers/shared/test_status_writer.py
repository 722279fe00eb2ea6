"""A material change is written at once, heartbeats within the budget, and nothing without the lease."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from fakes.clock import START, FakeClock, in_fake_time
from fakes.objects import FakeObjects
from fakes.sources import FakeSources
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from twinops.api import GIVE_BACK_FINALIZER
from twinops.api.base import utc
from twinops.controllers.shared.backoff import Backoff
from twinops.controllers.shared.record import DaemonState
from twinops.controllers.shared.status_kind import Purpose, ReadObject, StatusKind
from twinops.controllers.shared.status_writer import StatusWriter, WriteOutcome, Written
from twinops.controllers.shared.write_throttle import LONGEST_PAUSE_SECONDS, SPREAD, WriteThrottle
from twinops.controllers.source.checks import SOURCE_STATUS
from twinops.controllers.twin.publish import TWIN_STATUS
from twinops.errors import ClusterError, Conflict, LeadershipLost, NotFound, Refused, Unavailable
from twinops.ports.kubernetes import ResourceRef

OLD, NEW = {"healthScore": 80}, {"healthScore": 90}


class Rig:
    """A writer of one kind, its objects, and a lease that can be lost."""

    def __init__(self, kind: StatusKind = TWIN_STATUS, *, per_second: float = 50.0) -> None:
        self.clock = FakeClock()
        self.twins, self.sources = FakeTwins(), FakeSources()
        self.objects: FakeObjects[Any] = self.twins if kind is TWIN_STATUS else self.sources
        self.telemetry = FakeTelemetry()
        self.leading = True
        self.throttle = WriteThrottle(self.clock, per_second=per_second)
        self.writer = self.writer_of(kind, self.objects)
        self.ref: Any = self.add("checkout", status=OLD)
        self.last_writes = defaultdict[str, DaemonState](lambda: DaemonState(Backoff("")))

    def writer_of(self, kind: StatusKind, objects: FakeObjects[Any]) -> StatusWriter[Any]:
        return StatusWriter(kind, objects, self.throttle, self.clock, self.telemetry, fence=self.fence)

    def add(self, name: str, status: Mapping[str, Any] | None = None) -> ResourceRef:
        if self.objects is self.twins:
            return self.twins.add(name, status=status)
        return self.sources.add(name, status=status)

    def fence(self) -> None:
        if not self.leading:
            raise LeadershipLost("not leading")

    @property
    def remembered(self) -> object:
        return {name: value for name, value in vars(self.writer).items() if isinstance(value, (dict, set, list))}

    async def write(
        self,
        status: Mapping[str, Any] = NEW,
        *,
        material: bool = True,
        purpose: Purpose = Purpose.OBSERVATION,
        body: Mapping[str, Any] | None = None,
        ref: ResourceRef | None = None,
        interval: float = 60,
    ) -> Written:
        ref = ref or self.ref
        body = body or await self.objects.get(ref)
        last_write = self.last_writes[ref.uid] if self.objects is self.twins else None
        return await self.writer.write(
            ref,
            ReadObject.of(body),
            lambda: status,
            material=material,
            purpose=purpose,
            interval=interval,
            last_write=last_write,
        )

    def drain_budget(self) -> None:
        """Use up the budget, as a storm of changes would."""
        for _ in range(1000):
            self.throttle.spend()

    @property
    def stored(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.objects.bodies[self.ref.uid]["status"]
        return status


BOTH_KINDS = pytest.mark.parametrize(
    "kind", [pytest.param(TWIN_STATUS, id="DigitalTwin"), pytest.param(SOURCE_STATUS, id="MetricsSource")]
)


@BOTH_KINDS
@in_fake_time
async def test_a_material_change_is_written_at_once_and_the_object_comes_back(kind: StatusKind) -> None:
    rig = Rig(kind)
    rig.drain_budget()
    before = rig.clock.monotonic()
    written = await rig.write()
    assert written.written
    assert written.body is not None
    assert written.body["status"] == NEW
    assert written.body["metadata"]["resourceVersion"] == rig.objects.bodies[rig.ref.uid]["metadata"]["resourceVersion"]
    assert rig.clock.monotonic() == before
    assert rig.telemetry.writes == {"material": 1}
    assert rig.throttle._budget._tokens < 0, "it is counted all the same"


@BOTH_KINDS
@in_fake_time
async def test_the_written_object_is_good_for_the_next_write(kind: StatusKind) -> None:
    rig = Rig(kind)
    first = await rig.write({"healthScore": 1}, purpose=Purpose.OUTCOME)
    second = await rig.write({"healthScore": 2}, purpose=Purpose.OUTCOME, body=first.body)
    assert second.written
    assert rig.stored == {"healthScore": 2}
    assert rig.telemetry.writes == {"outcome": 2}


@in_fake_time
async def test_heartbeats_are_written_while_there_is_room() -> None:
    rig = Rig()
    for _ in range(3):
        assert (await rig.write(material=False)).written
        await rig.clock.sleep(60)
    assert rig.telemetry.writes == {"heartbeat": 3}


@in_fake_time
async def test_a_heartbeat_without_room_is_skipped_until_it_is_overdue() -> None:
    rig = Rig(per_second=1)
    await rig.write()
    outcomes = []
    for _ in range(5):
        await rig.clock.sleep(60)
        rig.drain_budget()
        outcomes.append((await rig.write(material=False)).outcome)
    assert outcomes == [WriteOutcome.SKIPPED] * 3 + [WriteOutcome.WRITTEN, WriteOutcome.SKIPPED]
    assert rig.telemetry.writes == {"material": 1, "skipped": 4, "heartbeat": 1}


@pytest.mark.parametrize(
    ("last_sync_time", "outcome"),
    [
        pytest.param(utc(START - 30).isoformat(), WriteOutcome.SKIPPED, id="written just before the restart"),
        pytest.param(utc(START - 290).isoformat(), WriteOutcome.WRITTEN, id="written long ago"),
        pytest.param(utc(START + 900).isoformat(), WriteOutcome.SKIPPED, id="by a clock that was ahead"),
        pytest.param(None, WriteOutcome.WRITTEN, id="never written"),
        pytest.param("yesterday", WriteOutcome.WRITTEN, id="unreadable"),
    ],
)
def test_after_a_restart_the_age_is_read_from_the_status(last_sync_time: str | None, outcome: WriteOutcome) -> None:
    @in_fake_time
    async def scene() -> None:
        rig = Rig(per_second=1)
        rig.drain_budget()
        rig.objects.edit(rig.ref, status={"lastSyncTime": last_sync_time} if last_sync_time else {})
        assert (await rig.write(material=False)).outcome is outcome

    scene()


@in_fake_time
async def test_a_heartbeat_that_is_skipped_is_not_rendered() -> None:
    rig, rendered = Rig(per_second=1), []

    def render() -> Mapping[str, Any]:
        rendered.append(rig.clock.now())
        return NEW

    for material in (True, False, False, True):
        rig.drain_budget()
        read = ReadObject.of(await rig.objects.get(rig.ref))
        last_write = rig.last_writes[rig.ref.uid]
        await rig.writer.write(rig.ref, read, render, material=material, interval=60, last_write=last_write)
    assert len(rendered) == 2
    assert rig.telemetry.writes == {"material": 2, "skipped": 2}


@in_fake_time
async def test_the_time_of_the_last_write_is_kept_where_the_caller_says() -> None:
    rig = Rig()
    assert (await rig.write()).written
    assert rig.last_writes[rig.ref.uid].written_at == rig.clock.monotonic()
    assert rig.remembered == {}


@pytest.mark.parametrize("fault", [Refused("403", status=403), NotFound("404", status=404)])
@in_fake_time
async def test_a_write_that_fails_is_not_the_last_one(fault: ClusterError) -> None:
    rig = Rig()
    rig.objects.faults = [fault]
    assert not (await rig.write()).written
    assert rig.last_writes[rig.ref.uid].written_at is None


@BOTH_KINDS
@in_fake_time
async def test_a_change_of_labels_meanwhile_does_not_lose_the_write(kind: StatusKind) -> None:
    rig = Rig(kind)
    body = await rig.objects.get(rig.ref)
    rig.objects.edit(rig.ref)
    assert (await rig.write(body=body)).written
    assert rig.stored == NEW


@BOTH_KINDS
@in_fake_time
async def test_a_changed_spec_means_sync_again(kind: StatusKind) -> None:
    rig = Rig(kind)
    body = await rig.objects.get(rig.ref)
    rig.objects.edit(rig.ref, spec=True)
    conflict = await rig.write(body=body)
    assert conflict.outcome is WriteOutcome.CONFLICT
    assert conflict.body == rig.objects.bodies[rig.ref.uid], "what the next sync starts from"
    assert rig.stored == {"healthScore": 80}


@in_fake_time
async def test_what_a_correction_did_is_recorded_even_when_the_spec_changed() -> None:
    rig = Rig()
    body = await rig.objects.get(rig.ref)
    rig.objects.edit(rig.ref, spec=True)
    assert (await rig.write(body=body, purpose=Purpose.OUTCOME)).written
    assert rig.stored == NEW


@pytest.mark.parametrize(
    ("finalizers", "deleting", "expected"),
    [
        pytest.param([GIVE_BACK_FINALIZER], False, WriteOutcome.WRITTEN, id="guarded"),
        pytest.param([], False, WriteOutcome.CONFLICT, id="the finalizer was taken off"),
        pytest.param([GIVE_BACK_FINALIZER], True, WriteOutcome.CONFLICT, id="deleted meanwhile"),
    ],
)
def test_an_intent_is_never_written_onto_a_twin_that_would_not_give_back(
    finalizers: list[str],
    deleting: bool,  # noqa: FBT001 - a table case
    expected: WriteOutcome,
) -> None:
    @in_fake_time
    async def scene() -> None:
        rig = Rig()
        body = await rig.objects.get(rig.ref)
        meta = rig.objects.bodies[rig.ref.uid]["metadata"]
        meta["finalizers"] = finalizers
        if deleting:
            meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        rig.objects.edit(rig.ref)
        assert (await rig.write(body=body, purpose=Purpose.INTENT)).outcome is expected

    scene()


@in_fake_time
async def test_an_intent_is_not_written_when_the_spec_changed() -> None:
    rig = Rig()
    body = await rig.objects.get(rig.ref)
    rig.objects.bodies[rig.ref.uid]["metadata"]["finalizers"] = [GIVE_BACK_FINALIZER]
    rig.objects.edit(rig.ref, spec=True)
    assert (await rig.write(body=body, purpose=Purpose.INTENT)).outcome is WriteOutcome.CONFLICT


@BOTH_KINDS
@pytest.mark.parametrize("purpose", Purpose)
@in_fake_time
async def test_the_status_of_another_writer_is_never_overwritten(kind: StatusKind, purpose: Purpose) -> None:
    rig = Rig(kind)
    body = await rig.objects.get(rig.ref)
    rig.objects.edit(rig.ref, status={"healthScore": 55})
    assert (await rig.write(body=body, purpose=purpose)).outcome is WriteOutcome.CONFLICT
    assert rig.stored == {"healthScore": 55}


@BOTH_KINDS
@in_fake_time
async def test_an_object_that_is_gone_is_no_error(kind: StatusKind) -> None:
    rig = Rig(kind)
    body = await rig.objects.get(rig.ref)
    rig.objects.remove(rig.ref)
    assert (await rig.write(body=body)).outcome is WriteOutcome.GONE


@pytest.mark.parametrize(
    ("faults", "outcome", "waited"),
    [
        pytest.param([Unavailable("429", status=429, retry_after=2.0)], WriteOutcome.WRITTEN, 2.0, id="asked to wait"),
        pytest.param([Unavailable("500", status=500)], WriteOutcome.WRITTEN, 1.0, id="failed once"),
        pytest.param([Unavailable("500")] * 2, WriteOutcome.UNAVAILABLE, 1.0, id="failed twice"),
        pytest.param(
            [Unavailable("429", retry_after=60.0)], WriteOutcome.UNAVAILABLE, 0.0, id="asked to wait for too long"
        ),
        pytest.param([Unavailable("503", retry_after=0.0)], WriteOutcome.WRITTEN, 0.0, id="may come back at once"),
        pytest.param([Refused("422", status=422)], WriteOutcome.REFUSED, 0.0, id="refused"),
        pytest.param([ClusterError("?")], WriteOutcome.REFUSED, 0.0, id="something else"),
        pytest.param([Conflict("409")] * 2, WriteOutcome.CONFLICT, 0.0, id="conflicts twice"),
        pytest.param([Unavailable("500"), Conflict("409")], WriteOutcome.CONFLICT, 1.0, id="an answer that got lost"),
    ],
)
@BOTH_KINDS
@in_fake_time
async def test_faults_of_the_api_server(
    kind: StatusKind, faults: list[ClusterError], outcome: WriteOutcome, waited: float
) -> None:
    rig = Rig(kind)
    rig.objects.faults = list(faults)
    began = rig.clock.monotonic()
    assert (await rig.write()).outcome is outcome
    assert waited <= rig.clock.monotonic() - began <= waited * (1 + SPREAD)


@BOTH_KINDS
@in_fake_time
async def test_a_pause_the_api_server_asked_for_holds_for_all_objects(kind: StatusKind) -> None:
    rig = Rig(kind)
    other = rig.add("orders")
    rig.objects.faults = [Unavailable("429", retry_after=60.0)]
    await rig.write()
    assert (await rig.write(material=False, ref=other)).outcome is WriteOutcome.SKIPPED
    assert (await rig.write(ref=other)).outcome is WriteOutcome.UNAVAILABLE
    assert rig.objects.attempts == 1
    await rig.clock.sleep(60)
    assert (await rig.write(ref=other)).written


@BOTH_KINDS
@in_fake_time
async def test_pauses_grow_while_nothing_can_be_written_and_end_with_a_success(kind: StatusKind) -> None:
    rig = Rig(kind)
    rig.objects.faults = [Unavailable("503")] * 100
    waits = []
    for _ in range(10):
        await rig.write()
        waits.append(rig.throttle._quiet_until - rig.clock.monotonic())
        await rig.clock.sleep(waits[-1])
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_PAUSE_SECONDS
    rig.objects.faults = []
    assert (await rig.write()).written
    assert rig.throttle._pauses == 0


@BOTH_KINDS
@in_fake_time
async def test_an_object_that_a_webhook_fails_for_makes_no_other_wait(kind: StatusKind) -> None:
    rig = Rig(kind)
    other = rig.add("orders")
    rig.objects.faults = [Unavailable("failed calling webhook", status=500)] * 2
    assert (await rig.write()).outcome is WriteOutcome.UNAVAILABLE
    began = rig.clock.monotonic()
    assert (await rig.write(ref=other)).written
    assert rig.clock.monotonic() == began


@BOTH_KINDS
@in_fake_time
async def test_objects_whose_writes_waited_together_write_apart(kind: StatusKind) -> None:
    rig = Rig(kind)
    refs = [rig.add(f"twin-{number}") for number in range(30)]
    rig.objects.faults = [Unavailable("429", retry_after=4.0)]
    times = []

    async def write(ref: ResourceRef) -> None:
        assert (await rig.write(ref=ref)).written
        times.append(rig.clock.monotonic())

    await asyncio.gather(*(write(ref) for ref in refs))
    assert len({round(time, 2) for time in times}) > 15
    assert max(times) - min(times) <= 4.0 * SPREAD + 0.01


@BOTH_KINDS
@in_fake_time
async def test_without_the_lease_nothing_is_sent(kind: StatusKind) -> None:
    rig = Rig(kind)
    rig.leading = False
    assert (await rig.write(purpose=Purpose.OUTCOME)).outcome is WriteOutcome.FENCED
    assert rig.objects.attempts == 0


@BOTH_KINDS
@in_fake_time
async def test_a_lease_lost_during_a_pause_stops_the_second_try(kind: StatusKind) -> None:
    rig = Rig(kind)
    rig.objects.faults = [Unavailable("500")]
    original = rig.clock.sleep

    async def sleep(seconds: float) -> None:
        rig.leading = False
        await original(seconds)

    rig.clock.sleep = sleep  # type: ignore[method-assign]  # the lease is lost while the writer sleeps
    assert (await rig.write()).outcome is WriteOutcome.FENCED
    assert rig.objects.attempts == 1


@in_fake_time
async def test_all_kinds_share_the_pause_and_the_budget() -> None:
    rig = Rig(SOURCE_STATUS)
    twin = rig.twins.add("checkout", status=OLD)
    twins = rig.writer_of(TWIN_STATUS, rig.twins)
    rig.sources.faults = [Unavailable("429", retry_after=60.0)]
    assert (await rig.write()).outcome is WriteOutcome.UNAVAILABLE
    body = await rig.twins.get(twin)
    assert (
        await twins.write(twin, ReadObject.of(body), lambda: NEW, material=True, interval=60)
    ).outcome is WriteOutcome.UNAVAILABLE
    assert (rig.sources.attempts, rig.twins.attempts) == (1, 0)
    await rig.clock.sleep(60)
    rig.twins.edit(twin, status=OLD | {"lastSyncTime": utc(rig.clock.now() - 30).isoformat()})
    body = await rig.twins.get(twin)
    rig.drain_budget()
    assert (await rig.write()).written
    assert (
        await twins.write(twin, ReadObject.of(body), lambda: NEW, material=False, interval=60)
    ).outcome is WriteOutcome.SKIPPED


@in_fake_time
async def test_nothing_is_remembered_of_a_kind_without_heartbeats() -> None:
    rig = Rig(SOURCE_STATUS)
    assert (await rig.write()).written
    assert rig.remembered == {}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        pytest.param(TWIN_STATUS, {"namespace": "shop", "twin": "checkout"}, id="DigitalTwin"),
        pytest.param(SOURCE_STATUS, {"source": "checkout"}, id="MetricsSource"),
    ],
)
@in_fake_time
async def test_a_log_line_names_the_object(kind: StatusKind, named: dict[str, str]) -> None:
    rig = Rig(kind)
    rig.objects.faults = [Refused("403", status=403)]
    with capture_logs() as lines:
        await rig.write()
    assert lines == [{"event": "status refused", "log_level": "error", "error": "403", **named}]
