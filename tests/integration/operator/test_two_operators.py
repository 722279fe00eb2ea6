"""Two operators at once: one leads, and whichever does, there is never a second writer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from devcluster.api import Json
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.ground import Ground, is_operator
from support.shop import WELL_WITHIN, Shop

TOKEN = "authentication.kubernetes.io/credential-id"  # noqa: S105 - the name of a field of the audit log
HAND_OVER_SECONDS = 20
"""The lease's usual 15, up to 2.5 before them until a standby has seen the last renewal, half a second of jitter."""


@dataclass
class Pair:
    """Two operators on one lease, with its usual times, and a shop."""

    ground: Ground
    first: Supervised
    second: Supervised
    shop: Shop

    def writers(self) -> list[str]:
        """Return whose credentials each write of an operator carried, in order.

        The lease is left out, and so are Events: they only tell what was done.
        """
        return [
            event["user"]["extra"][TOKEN][0]
            for event in self.ground.cluster.audit_events()
            if self._ours(event) and event["verb"] in {"create", "update", "patch", "delete"}
        ]

    def _ours(self, event: Json) -> bool:
        written = event["objectRef"]
        return (
            is_operator(event) and written.get("namespace") == self.shop.namespace and written["resource"] != "events"
        )

    def corrections(self) -> list[str]:
        """Return the outcomes in status."""
        return [record["outcome"] for record in self.shop.get()["status"].get("corrections", ())]


@pytest.fixture(scope="module")
def pair(ground: Ground) -> Iterator[Pair]:
    """The first one leads."""
    shop = ground.shop("two-operators")
    with ground.operator("left") as first:
        ground.until_leads("left")
        with ground.operator("right") as second:
            wait_until(lambda: "waiting for the lease" in second.process.tail(), within=WELL_WITHIN, what="a standby")
            yield Pair(ground, first, second, shop)


def test_leadership_changes_hands_and_never_is_there_a_second_writer(pair: Pair) -> None:
    shop, ground = pair.shop, pair.ground
    shop.running()
    shop.metric("cpuUsage", 90)
    shop.apply(shop.twin(syncFrequencySeconds=5, expectedState={"metrics": {"cpuUsage": 50}}))
    shop.until_condition("Ready", "True")
    shop.lasting()
    assert pair.corrections() == ["Applied"]
    assert len(set(pair.writers())) == 1, "the standby only watches the lease"

    # A leader that hangs: it does not know, when it wakes, that its time is over.
    pair.first.process.pause()
    ground.until_leads("right", within=HAND_OVER_SECONDS)
    shop.sync()
    written = len(pair.writers())
    pair.first.process.resume()
    wait_until(lambda: pair.first.exits, within=WELL_WITHIN, what="the old leader's end")
    assert pair.first.exits == [1]
    assert len(set(pair.writers()[written:])) <= 1
    assert changes(pair.writers()) == 1, "the old leader wrote nothing any more"

    # A leader that is asked to end lets go of the lease, and the other one need not wait for it to run out.
    wait_until(lambda: pair.first.process.alive, within=WELL_WITHIN, what="the first again")
    wait_until(lambda: "waiting for the lease" in pair.first.process.tail(), within=WELL_WITHIN, what="a standby")
    pair.second.stop()
    ground.until_leads("left", within=10)
    shop.sync()
    assert changes(pair.writers()) == 2
    assert pair.corrections() == ["Applied"]
    assert len(ground.hpa_writes(shop)) == 1


def changes(writers: list[str]) -> int:
    """Return how often the writer changed."""
    return sum(before != after for before, after in itertools.pairwise(writers))
