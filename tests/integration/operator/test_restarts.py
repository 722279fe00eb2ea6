"""An operator that ends at a bad moment, or is away for a while: nothing is lost, and nothing is applied twice.

Expected CPU is 50 with 20 % allowed, so two replicas at 90 % need 3, and three of them 5. One operator
corrects every shop and is killed. Each case then leaves its shop as a crash at one moment would have left it,
or as somebody changed it meanwhile; then another operator is started, once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from support.ground import QUICK_LEASE, Ground
from support.shop import Body, Shop

HIGH, FINE = 90, 40


@dataclass
class Case:
    """One shop, corrected from 2 to 3.

    Attributes:
        twin: as the first operator left it.
        writes: how often the first operator wrote to its HPA.
    """

    shop: Shop
    twin: Body
    writes: int

    @property
    def status(self) -> Body:
        """The status, to be changed and written."""
        status: Body = self.twin["status"]
        return status

    def write(self) -> None:
        """Put the changed status onto the API server."""
        path = f"/apis/twinops.dev/v1alpha1/namespaces/{self.shop.namespace}/digitaltwins/checkout/status"
        self.shop.cluster.api.merge(path, {"status": self.status})

    def hpa_anew(self) -> None:
        """Make the HPA anew, as its owner declared it: it was never corrected."""
        self.shop.cluster.kubectl("-n", self.shop.namespace, "delete", "hpa", "checkout")
        self.shop.apply(self.shop.hpa())

    def pend(self, **record: object) -> None:
        """Take the outcome back from the last decision."""
        last = self.status["corrections"][-1]
        self.status["corrections"][-1] = last | {"outcome": "Pending", "outcomeTime": None, **record}


def ago(**age: float) -> str:
    """Return a time in the past as the API server writes it."""
    return (datetime.now(UTC) - timedelta(**age)).isoformat(timespec="seconds").replace("+00:00", "Z")


def before_the_write(case: Case) -> None:
    case.pend()
    case.status["originals"][0]["ours"] = None
    case.hpa_anew()
    case.write()


def after_the_write(case: Case) -> None:
    case.pend()
    case.status["originals"][0]["ours"] = None
    case.write()


def after_giving_back(case: Case) -> None:
    case.status["corrections"].append(case.status["corrections"][-1] | {"id": "back", "action": "GiveBack"})
    case.pend(**{"from": 3, "to": 2, "trigger": "NeedPassed"})
    case.hpa_anew()
    case.write()


def away(case: Case) -> None:
    """Change nothing."""
    del case


def deleted(case: Case) -> None:
    case.shop.delete()


def reverted(case: Case) -> None:
    case.shop.apply(case.shop.hpa())


def need_passed(case: Case) -> None:
    case.status["needBelowSince"] = ago(seconds=601)
    case.status["lastSyncTime"] = ago(seconds=5)
    case.write()


def nobody_looked(case: Case) -> None:
    case.status["needBelowSince"] = ago(hours=4)
    case.status["lastSyncTime"] = ago(hours=3)
    case.write()


CASES: dict[str, tuple[Callable[[Case], None], int]] = {
    "before-the-write-need-stands": (before_the_write, HIGH),
    "before-the-write-need-passed": (before_the_write, FINE),
    "after-the-write": (after_the_write, HIGH),
    "after-giving-back": (after_giving_back, FINE),
    "away": (away, HIGH),
    "deleted": (deleted, HIGH),
    "reverted": (reverted, HIGH),
    "need-passed": (need_passed, FINE),
    "nobody-looked": (nobody_looked, FINE),
}


@pytest.fixture(scope="module")
def cases(ground: Ground) -> Iterator[dict[str, Case]]:
    """All cases, with the second operator running."""
    shops = {name: ground.shop(f"restart-{name}") for name in CASES}
    with ThreadPoolExecutor(len(shops)) as pool:
        with ground.operator("first", lease=QUICK_LEASE) as first:
            twins = dict(zip(shops, pool.map(corrected, shops.values()), strict=True))
            # A kill leaves no time for last words.
            first.process.kill()
        left = {name: Case(shop, twins[name], len(ground.hpa_writes(shop))) for name, shop in shops.items()}
        list(pool.map(lambda name: leave(left[name], *CASES[name]), left))
    with ground.operator("second", lease=QUICK_LEASE):
        ground.until_leads("second")
        yield left


def corrected(shop: Shop) -> Body:
    shop.running()
    shop.metric("cpuUsage", HIGH)
    shop.apply(shop.twin(syncFrequencySeconds=3600, expectedState={"metrics": {"cpuUsage": 50}}))
    shop.until_condition("Ready", "True")
    body = shop.lasting()
    assert shop.live_hpa()["spec"]["minReplicas"] == 3
    shop.ready(3)
    return body


def leave(case: Case, change: Callable[[Case], None], cpu: int) -> None:
    if cpu != HIGH:
        case.shop.metric("cpuUsage", cpu)
    change(case)


def settled(case: Case) -> Body:
    """Wait until the second operator has synced the twin twice."""
    status: Body = case.shop.sync(2)["status"]
    return status | {"hpa": case.shop.live_hpa()["spec"]["minReplicas"]}


def outcomes(status: Body) -> list[tuple[str, str]]:
    return [(record["action"], record["outcome"]) for record in status["corrections"]]


@pytest.mark.parametrize(
    ("name", "decisions", "least", "more_writes"),
    [
        pytest.param(
            "before-the-write-need-stands", [("Raise", "Failed"), ("Raise", "Applied")], 5, 1, id="killed-before-raise"
        ),
        pytest.param("before-the-write-need-passed", [("Raise", "Failed")], 2, 0, id="killed-before-raise-need-passed"),
        pytest.param("after-the-write", [("Raise", "Applied")], 3, 0, id="killed-after-raise"),
        pytest.param(
            "after-giving-back", [("Raise", "Applied"), ("GiveBack", "Applied")], 2, 0, id="killed-after-back"
        ),
        pytest.param("away", [("Raise", "Applied")], 3, 0, id="away"),
        pytest.param("need-passed", [("Raise", "Applied"), ("GiveBack", "Applied")], 2, 1, id="need-below-for-10-min"),
        pytest.param("nobody-looked", [("Raise", "Applied")], 3, 0, id="away-for-hours-need-unknown"),
    ],
)
def test_a_restart_finds_out_what_was_done_and_does_the_rest_once(
    cases: dict[str, Case], ground: Ground, name: str, decisions: list[tuple[str, str]], least: int, more_writes: int
) -> None:
    case = cases[name]
    status = settled(case)
    assert outcomes(status) == decisions
    assert status["hpa"] == least
    assert len(ground.hpa_writes(case.shop)) - case.writes == more_writes
    originals = status.get("originals", ())
    assert [original["ours"] for original in originals if "ours" in original] == ([least] if least > 2 else [])
    # What a killed operator has sent may still arrive: until then what was there before is known.
    assert [original["value"] for original in originals] == (
        [2] if least > 2 or ("Raise", "Failed") in decisions else []
    )
    finalizers = case.shop.get()["metadata"]["finalizers"]
    assert ("twinops.dev/give-back" in finalizers) is bool(originals)


def test_a_value_put_back_meanwhile_is_one_reversion_and_answered_once(cases: dict[str, Case], ground: Ground) -> None:
    case = cases["reverted"]
    status = settled(case)
    assert outcomes(status) == [("Raise", "Reverted"), ("Raise", "Applied")]
    assert len(status["fight"]["reversions"]) == 1
    assert len(ground.hpa_writes(case.shop)) - case.writes == 1


def test_a_twin_deleted_meanwhile_gives_back_and_goes(cases: dict[str, Case], ground: Ground) -> None:
    shop = cases["deleted"].shop
    shop.until_gone()
    assert shop.live_hpa()["spec"]["minReplicas"] == 2
    assert len(ground.hpa_writes(shop)) == 2
    shop.apply(shop.hpa(least=4))
    assert shop.live_hpa()["spec"]["minReplicas"] == 4


def test_what_was_seen_before_a_restart_still_counts(cases: dict[str, Case]) -> None:
    case = cases["away"]
    (before,), status = case.twin["status"]["drift"]["alerts"], settled(case)
    (alert,) = status["drift"]["alerts"]
    assert (alert["since"], alert["persistent"]) == (before["since"], True)
    assert alert["recent"].startswith(before["recent"])
    assert status["corrections"][0] == case.twin["status"]["corrections"][0]
    assert status["originals"] == case.twin["status"]["originals"]
