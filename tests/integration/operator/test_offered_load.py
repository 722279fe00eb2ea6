"""Load that is counted in replicas, followed on a real control plane: 300 requests per second at 60 each need five."""

from __future__ import annotations

import pytest

from devcluster.errors import ApiError
from devcluster.waiting import wait_until
from support.shop import WELL_WITHIN, Body, Shop

pytestmark = pytest.mark.usefixtures("operator")


def minimum(shop: Shop, value: int) -> None:
    """Ask for syncs until the HPA's minimum is so much."""

    def look() -> bool:
        shop.sync()
        return bool(shop.live_hpa()["spec"].get("minReplicas") == value)

    wait_until(look, within=WELL_WITHIN, what=f"minReplicas {value}", interval=0.3, retry_on=(ApiError,))


def test_every_step_is_taken_and_what_goes_with_its_hpa_is_taken_anew(shop: Shop) -> None:
    shop.running()
    shop.metric("throughputRps", 300)
    counted: Body = {"limitsPerReplica": {"throughputRps": 60}, "limits": {"throughputRps": 250}}
    shop.apply(shop.twin(metrics=("throughputRps",), autoCorrection={"cooldownSeconds": 0}, **counted))
    # Twice the ready replicas at most; then the rest, though four have not lowered what is offered.
    minimum(shop, 4)
    shop.ready(4)
    minimum(shop, 5)

    # From here on a cooldown that outlasts the test: what is gone is nothing to cool down from.
    shop.merge({"spec": {"autoCorrection": {"cooldownSeconds": 3600}}})
    shop.cluster.kubectl("delete", "hpa", "checkout", "-n", shop.namespace)
    shop.until(lambda body: not body["status"].get("originals"), "nothing is held")
    shop.apply(shop.hpa())
    minimum(shop, 5)

    raised = shop.get()["status"]["corrections"]
    assert [(one["to"], one["outcome"]) for one in raised if one["outcome"] != "Blocked"] == [
        (4, "Reverted"),
        (5, "Reverted"),
        (5, "Applied"),
    ]
