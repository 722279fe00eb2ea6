"""What a twin holds, read for its observation: which faults are observed, and which end the sync."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.clock import in_fake_time
from fakes.levers import FakeLevers
from support.correcting import HPA, NOW, OURS, SCALE, hpa, original, scale
from twinops.controllers.twin.held_values import HeldValues
from twinops.core.lever import Lever
from twinops.core.observation import Held
from twinops.errors import ClusterError, NotFound, Refused, Unavailable
from twinops.ports.kubernetes import TwinRef

REF = TwinRef("shop", "checkout", "twin-uid")
WITNESS = '{"value":2,"ours":6}'
OF_SCALE = original(3, ours=6, object=SCALE, field="spec.replicas")
DOWN = Unavailable("GET /apis/x: no answer")
FORBIDDEN = Refused("GET /apis/x: 403", status=403)


class Counting(FakeLevers):
    """Levers that count what is read of them, and may fail."""

    def __init__(self, *levers: Lever, fault: ClusterError | None = None) -> None:
        super().__init__(*levers)
        self.fault = fault
        self.reads = 0

    async def read(self, *given: Any) -> Lever:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return await super().read(*given)


async def gathered(levers: FakeLevers, lever: Lever | None, *originals: Any, **more: Any) -> tuple[Lever | None, Held]:
    known: dict[str, Any] = {"now": NOW, "annotation": "", "lever_unavailable": False} | more
    return await HeldValues(levers).gather(REF, lever, originals, **known)


@in_fake_time
async def test_what_was_found_as_the_lever_is_not_read_again() -> None:
    levers = Counting(hpa(6, OURS))
    lever, held = await gathered(levers, hpa(6, OURS), original(2))
    assert (lever, held.levers, held.unread, levers.reads) == (hpa(6, OURS), {hpa().key: hpa(6, OURS)}, frozenset(), 0)


@in_fake_time
async def test_what_is_held_elsewhere_is_read_and_what_is_gone_is_left_out() -> None:
    levers = Counting(scale(6, OURS))
    _, held = await gathered(levers, None, original(2), OF_SCALE)
    assert (held.levers, held.unread, levers.reads) == ({scale().key: scale(6, OURS)}, frozenset(), 2)


@in_fake_time
async def test_what_may_not_be_read_is_named() -> None:
    _, held = await gathered(Counting(fault=FORBIDDEN), None, original(2))
    assert (held.levers, held.unread) == ({}, frozenset({(HPA, "spec.minReplicas")}))
    assert held.refusal is None


@in_fake_time
async def test_an_api_server_that_does_not_answer_ends_the_sync() -> None:
    with pytest.raises(Unavailable):
        await gathered(Counting(fault=DOWN), None, original(2))


@in_fake_time
async def test_unless_the_lever_has_not_answered_for_long_either() -> None:
    lever, held = await gathered(Counting(fault=DOWN), None, original(2), lever_unavailable=True)
    assert held.refusal is not None
    assert (lever, held.levers, held.refusal.reason) == (None, {}, "ClusterUnavailable")


class TestTakingUp:
    """A raised value of which the state has lost the original."""

    LOST = hpa(6, OURS, original_annotation=WITNESS)

    @in_fake_time
    async def test_it_is_taken_up_from_the_object_as_it_is_now(self) -> None:
        now = hpa(6, OURS, original_annotation=WITNESS, resource_version="2")
        levers = Counting(now)
        lever, held = await gathered(levers, self.LOST)
        assert held.recovered is not None
        assert (held.recovered.value, held.recovered.ours) == (2, 6)
        assert (lever, held.levers, levers.reads) == (now, {now.key: now}, 1)

    @in_fake_time
    async def test_what_has_been_given_back_meanwhile_is_not(self) -> None:
        levers = Counting(hpa(2))
        lever, held = await gathered(levers, self.LOST)
        assert (lever, held.recovered) == (hpa(2), None)

    @in_fake_time
    async def test_nor_is_what_another_twin_holds(self) -> None:
        levers = Counting(self.LOST)
        assert (await gathered(levers, self.LOST, annotation=None))[1].recovered is None
        assert levers.reads == 0

    @in_fake_time
    async def test_one_that_may_not_be_read_is_a_refusal(self) -> None:
        lever, held = await gathered(Counting(self.LOST, fault=FORBIDDEN), self.LOST)
        assert held.refusal is not None
        assert (lever, held.refusal.reason) == (self.LOST, "Forbidden")

    @in_fake_time
    async def test_one_that_has_gone_ends_the_sync(self) -> None:
        with pytest.raises(NotFound):
            await gathered(Counting(), self.LOST)
