"""An API server that answers badly for a moment. A proxy in front of the real one plays that: it cannot be made to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import yaml

from fakes.api_proxy import ApiProxy, Fault, Rule, serve
from support.ground import QUICK_LEASE, Ground
from support.operator import SYSTEM, condition
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
            ground.until_leads("proxied")
            yield proxy


HPA = "horizontalpodautoscalers/checkout$"
STATUS = "digitaltwins/checkout/status$"
INTENT = r'"outcome":\s*"Pending"'
"""In the status that must be written before anything is corrected."""


@dataclass(frozen=True)
class Case:
    """A request that goes wrong.

    Attributes:
        body: regular expression for what is sent.
        times: how often in a row.
    """

    method: str
    path: str
    body: str
    fault: Fault
    times: int = 1


CASES = {
    "status-429": Case("PUT", STATUS, INTENT, Fault.TOO_MANY, 2),
    "status-409": Case("PUT", STATUS, INTENT, Fault.CONFLICT),
    "status-answer-lost": Case("PUT", STATUS, INTENT, Fault.ANSWER_LOST),
    "hpa-429": Case("PATCH", HPA, "", Fault.TOO_MANY),
    "hpa-409": Case("PATCH", HPA, "", Fault.CONFLICT),
    "hpa-answer-lost": Case("PATCH", HPA, "", Fault.ANSWER_LOST),
}


@dataclass(frozen=True)
class Met:
    """Shops whose requests have gone wrong, each with its rule.

    Attributes:
        corrected: by case, with a correction all the same.
        edited: one whose spec was changed while its status could not be written.
    """

    corrected: Mapping[str, tuple[Shop, Rule]]
    edited: tuple[Shop, Rule]


@pytest.fixture(scope="module")
def met(ground: Ground, proxy: ApiProxy) -> Met:
    """Everything goes wrong at the same time, to take no longer than one."""

    def correct(name: str) -> tuple[Shop, Rule]:
        case, shop = CASES[name], ground.shop(f"answers-{name}")
        path = f"/namespaces/{shop.namespace}/{case.path}"
        rule = proxy.expect(case.method, path, case.fault, case.times, body=case.body)
        shop.running()
        shop.metric("cpuUsage", 90)
        shop.apply(shop.twin(expectedState={"metrics": {"cpuUsage": 50}}, syncFrequencySeconds=3600))
        shop.until_condition("Ready", "True")
        shop.lasting()
        shop.until(lambda body: outcomes(body)[-1:] == ["Applied"] and rule.left == 0, f"{name}: the correction")
        return shop, rule

    def edit() -> tuple[Shop, Rule]:
        shop = ground.shop("answers-edit")
        shop.apply(shop.deployment())
        shop.metric("cpuUsage", 40)
        shop.apply(shop.twin(syncFrequencySeconds=3600))
        shop.until_condition("Ready", "True")
        rule = proxy.expect("PUT", f"/namespaces/{shop.namespace}/{STATUS}", Fault.TOO_MANY, 2)
        shop.merge({"spec": {"limits": {"cpuUsage": 95}}})
        shop.until(lambda body: body["status"]["observedGeneration"] == 2, "the edit answered")
        return shop, rule

    with ThreadPoolExecutor(len(CASES) + 1) as pool:
        edited = pool.submit(edit)
        corrected = dict(zip(CASES, pool.map(correct, CASES), strict=True))
        return Met(corrected, edited.result())


@pytest.mark.parametrize("name", CASES)
def test_a_write_that_goes_wrong_is_made_once(met: Met, ground: Ground, name: str) -> None:
    shop, rule = met.corrected[name]
    body = shop.sync()
    assert rule.met == CASES[name].times
    assert shop.live_hpa()["spec"]["minReplicas"] == 3
    assert len(ground.hpa_writes(shop)) == 1
    assert outcomes(body).count("Applied") == 1
    assert [original["value"] for original in body["status"]["originals"]] == [2]
    shop.delete()
    shop.until_gone()
    assert shop.live_hpa()["spec"]["minReplicas"] == 2


def test_an_edit_is_answered_although_the_first_statuses_are_refused(met: Met) -> None:
    shop, rule = met.edited
    assert rule.met == 2
    body = shop.get()
    assert condition(body, "Ready").get("observedGeneration", body["status"]["observedGeneration"]) == 2


def outcomes(body: Body) -> list[str]:
    return [record["outcome"] for record in body["status"].get("corrections", ())]
