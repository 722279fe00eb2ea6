"""An API server that answers badly for a moment. A proxy in front of the real one plays that: it cannot be made to."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import yaml

from fakes.api_proxy import ApiProxy, Fault, Rule, serve
from support.ground import QUICK_LEASE, Ground
from support.operator import SYSTEM
from support.shop import Body, Shop


@pytest.fixture(scope="module")
def proxy(ground: Ground) -> Iterator[ApiProxy]:
    """An operator that reaches the API server only through a proxy."""
    shared = ground.cluster.service_account_kubeconfig(SYSTEM, ground.account)
    with serve(ground.cluster.api_url, ground.cluster.ca_file) as proxy:
        config = yaml.safe_load(shared.read_text())
        config["clusters"][0]["cluster"] = {"server": proxy.url}
        kubeconfig = shared.with_name("proxied.kubeconfig")
        kubeconfig.write_text(yaml.safe_dump(config))
        with ground.run("proxied", kubeconfig, env={"TWINOPS_IDENTITY": "proxied", **QUICK_LEASE}):
            ground.until_leads("proxied", within=30)
            yield proxy


HPA = "horizontalpodautoscalers/checkout$"
STATUS = "digitaltwins/checkout/status$"


@dataclass(frozen=True)
class Case:
    """A request that goes wrong.

    Attributes:
        times: how often in a row.
    """

    method: str
    path: str
    fault: Fault
    times: int = 1


CASES = {
    "status-429": Case("PUT", STATUS, Fault.TOO_MANY, 2),
    "status-409": Case("PUT", STATUS, Fault.CONFLICT),
    "status-answer-lost": Case("PUT", STATUS, Fault.ANSWER_LOST),
    "hpa-429": Case("PATCH", HPA, Fault.TOO_MANY),
    "hpa-409": Case("PATCH", HPA, Fault.CONFLICT),
    "hpa-answer-lost": Case("PATCH", HPA, Fault.ANSWER_LOST),
}


@pytest.fixture(scope="module")
def corrected(ground: Ground, proxy: ApiProxy) -> dict[str, tuple[Shop, Rule]]:
    """A shop per case, corrected although its request went wrong; all at the same time, to take no longer than one."""

    def correct(name: str) -> tuple[Shop, Rule]:
        case, shop = CASES[name], ground.shop(f"answers-{name}")
        shop.running()
        shop.metric("cpuUsage", 90)
        shop.apply(shop.twin(expectedState={"metrics": {"cpuUsage": 50}}, syncFrequencySeconds=3600))
        shop.until_condition("Ready", "True")
        shop.seen(2)
        rule = proxy.expect(case.method, f"/namespaces/{shop.namespace}/{case.path}", case.fault, case.times)
        # The third sample outside is the one that is corrected.
        shop.lasting()
        shop.until(lambda body: outcomes(body)[-1:] == ["Applied"] and rule.left == 0, f"{name}: the correction")
        return shop, rule

    with ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(correct, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_write_that_goes_wrong_is_made_once(
    corrected: dict[str, tuple[Shop, Rule]], ground: Ground, name: str
) -> None:
    shop, rule = corrected[name]
    body = shop.sync()
    assert rule.met == CASES[name].times
    assert shop.live_hpa()["spec"]["minReplicas"] == 3
    assert len(ground.hpa_writes(shop)) == 1
    assert outcomes(body).count("Applied") == 1
    assert [original["value"] for original in body["status"]["originals"]] == [2]
    shop.delete()
    shop.until_gone()
    assert shop.live_hpa()["spec"]["minReplicas"] == 2


def test_an_edit_is_answered_although_the_first_statuses_are_refused(ground: Ground, proxy: ApiProxy) -> None:
    shop = ground.shop("answers-edit")
    shop.apply(shop.deployment())
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=3600))
    shop.until_condition("Ready", "True")
    rule = proxy.expect("PUT", f"/namespaces/{shop.namespace}/{STATUS}", Fault.TOO_MANY, 2)
    shop.merge({"spec": {"limits": {"cpuUsage": 95}}})
    shop.until(lambda body: body["status"]["observedGeneration"] == 2, "the edit answered", within=15)
    assert rule.met == 2


def outcomes(body: Body) -> list[str]:
    return [record["outcome"] for record in body["status"].get("corrections", ())]
