"""A leader that is asked to end while the API server hangs."""

from __future__ import annotations

import json

from devcluster.waiting import wait_until
from support.ground import QUICK_LEASE, Ground
from support.shop import WELL_WITHIN


def test_a_leader_ends_well_while_the_api_server_hangs(ground: Ground) -> None:
    shop = ground.shop("hangs-at-the-end")
    shop.apply(shop.deployment())
    lease = {**QUICK_LEASE, "TWINOPS_LEASE_DURATION_SECONDS": "30", "TWINOPS_RENEW_DEADLINE_SECONDS": "25"}
    with ground.operator("ending", lease={**lease, "TWINOPS_LOG_FORMAT": "json"}, restart=False) as running:
        ground.until_leads("ending")
        shop.apply(*(shop.twin(f"twin-{number}") for number in range(3)))
        wait_until(lambda: "finalizers" in shop.get("twin-2")["metadata"], within=WELL_WITHIN, what="daemons")
        ground.cluster.apiserver.pause()
        try:
            assert running.process.stop(grace=28) == 0
        finally:
            ground.cluster.apiserver.resume()
            ground.end_lease()
        lines = [json.loads(line) for line in running.process.log.read_text().splitlines()]
    assert "asked to end" in {line["event"] for line in lines}
