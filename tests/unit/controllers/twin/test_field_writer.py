"""Two twins of one HPA: whatever happens to their specs, the value that people gave is what they get back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.levers import FakeLevers
from support.correcting import HPA, KUBECTL, NOW, hpa, observation, risk, spec, status
from support.planning import planned
from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.corrections import CorrectionService
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.state import TwinState
from twinops.ports.kubernetes import TwinRef

AGES = {"older": "2025-01-01T00:00:00Z", "younger": "2026-01-01T00:00:00Z"}


class Pair:
    """An older and a younger twin of the same Deployment, whose HPA is found by itself; its minimum is 2."""

    def __init__(self) -> None:
        self.levers = FakeLevers(hpa(2, KUBECTL))
        self.service = CorrectionService(self.levers, FakeClock(NOW))
        self.index = TwinStore()
        self.specs: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, DigitalTwinStatus] = {}
        self.now = NOW
        for name in AGES:
            self.specs[name], self.statuses[name] = {}, status()
            self.known(name)

    def known(self, name: str) -> TwinRef:
        """Tell the index of a twin as it is now."""
        wire = {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}, **self.specs[name]}
        meta = {"namespace": "shop", "name": name, "uid": name, "creationTimestamp": AGES[name]}
        return self.index.put({"metadata": meta, "spec": wire, "status": self.statuses[name].to_wire()}).ref

    def edit(self, name: str, **changed: Any) -> None:
        self.specs[name] = changed
        self.known(name)

    async def sync(self, name: str) -> str:
        """Sync once; return why nothing was written, empty when something was."""
        ref = self.known(name)
        self.now += 1
        lever = self.levers.levers[HPA]
        rival, holder = self.index.rival(name), self.index.holder(name, lever.object)
        seen = dataclasses.replace(observation(lever, cpuUsage=70), now=self.now, rival=rival, holder=holder)
        twin = spec(self.specs[name].get("autoCorrection"), limits={"cpuUsage": 95})
        before = self.statuses[name]
        plan, _ = await planned(self.levers, ref, twin, seen, TwinState.from_status(before), [risk()])
        done = (await self.service.carry_out(ref, plan, plan.state)).state if plan.writes else plan.state
        self.statuses[name] = done.to_status(before)
        self.known(name)
        return "" if plan.writes else plan.decision.reason

    async def suspended(self, name: str) -> None:
        before = self.statuses[name]
        done = await self.service.restore_all(
            self.known(name),
            TwinState.from_status(before),
            trigger=RestoreTrigger.SUSPENDED,
            now=self.now,
            deadline_seconds=20,
        )
        self.statuses[name] = done.state.to_status(before)
        self.known(name)

    @property
    def originals(self) -> set[int | None]:
        return {original.value for each in self.statuses.values() for original in each.originals}


@in_fake_time
async def test_an_older_twin_that_begins_to_correct_waits_until_the_younger_has_given_back() -> None:
    pair = Pair()
    pair.edit("older", autoCorrection={"mode": "Preview"})
    assert await pair.sync("younger") == ""
    pair.edit("older")
    assert await pair.sync("older") == "AnotherTwin"
    assert await pair.sync("younger") == ""
    assert (pair.levers.levers[HPA].value, pair.levers.levers[HPA].owners) == (2, (KUBECTL,))
    assert await pair.sync("older") == ""
    assert await pair.sync("younger") == "AnotherTwin"
    assert pair.originals == {2}
    assert [r.trigger for r in pair.statuses["younger"].corrections][1] == "AnotherTwin"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"suspend": True}, id="suspended"),
        pytest.param({"autoCorrection": {"mode": "Preview"}}, id="previews"),
        pytest.param({"autoCorrection": {"enabled": False}}, id="switched off"),
    ],
)
def test_a_younger_twin_waits_until_the_older_has_given_back(changed: dict[str, Any]) -> None:
    @in_fake_time
    async def check() -> None:
        pair = Pair()
        await pair.sync("older")
        pair.edit("older", **changed)
        assert await pair.sync("younger") == "AnotherTwin"
        await (pair.suspended("older") if "suspend" in changed else pair.sync("older"))
        assert pair.levers.levers[HPA].value == 2
        assert await pair.sync("younger") == ""
        assert pair.originals == {2}
        assert pair.statuses["younger"].corrections[-1].outcome is Outcome.APPLIED

    check()
