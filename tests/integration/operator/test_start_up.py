"""A rollout on a real control plane: what pods use that start up raises nothing, and what lasts after it does."""

from __future__ import annotations

from devcluster.cluster import DevCluster
from devcluster.supervised import Supervised
from support.exporter import Exporter
from support.operator import condition
from support.shop import Body, open_shop


def test_a_rollout_holds_cpu_back_until_it_is_over(
    cluster: DevCluster, exporter: Exporter, operator: Supervised
) -> None:
    assert operator.process.alive
    shop = open_shop(cluster, "start-up", exporter)
    shop.running()
    shop.metric("cpuUsage", 50)
    shop.apply(shop.twin(syncFrequencySeconds=3600, expectedState={"metrics": {"cpuUsage": 50}}))
    shop.until_condition("Ready", "True")

    # Its new pods wait for a node that is not there, so that it lasts for as long as the test wants.
    halfway: Body = shop.deployment(version="1.9.0")
    halfway["spec"]["template"]["spec"]["nodeName"] = "node-of-nowhere"
    shop.apply(halfway)
    shop.metric("cpuUsage", 90)

    def holds(body: Body) -> bool:
        shop.ask()
        return bool(condition(body, "CorrectionBlocked").get("reason") == "StartingUp")

    held = shop.until(holds, "a need that waits for the rollout")
    blocked = condition(held, "CorrectionBlocked")
    assert blocked["status"] == "False"
    assert "a rollout is under way" in blocked["message"]
    assert held["status"]["recommendedReplicas"] == 2
    assert held["status"]["startUp"]["rollout"]
    assert shop.live_hpa()["spec"]["minReplicas"] == 2

    shop.apply(shop.deployment())
    shop.ready(2)

    def raised(body: Body) -> bool:
        shop.ask()
        return bool(body["status"].get("originals"))

    shop.until(raised, "a raise after the rollout")
    assert shop.live_hpa()["spec"]["minReplicas"] == 3
