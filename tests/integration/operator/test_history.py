"""What is known of the past: at the first sync, while it is still short, and what is foreseen from it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.options import PrometheusOptions
from support.exporter import Exporter
from support.operator import condition
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")

DAY = 86_400
STEP = 60
SHORT = 7
"""Samples of ``past_short``."""


@pytest.fixture(scope="module")
def past(cluster: DevCluster, exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has a week of ``past_cpuUsage`` (a wave a day, 30 to 50), a climb and a short past.

    Yields its URL.
    """
    text = tmp_path_factory.mktemp("history") / "week.txt"
    text.write_text(openmetrics(time.time()))
    options = PrometheusOptions(backfill=text, scrape_kwok=False, scrape_interval="1s")
    prometheus = cluster.start_prometheus("history", options)
    exporter.set("past_climb", 85)
    target = (cluster.prometheus.targets_dir / "exporter.json").read_text()
    (prometheus.targets_dir / "exporter.json").write_text(target)
    yield prometheus.url
    prometheus.process.stop()


def openmetrics(now: float) -> str:
    """Render a week up to now, a sample a minute."""
    times = [now - age for age in range(7 * DAY, -1, -STEP)]
    wave = [f"past_cpuUsage {40 + 10 * math.sin(at / DAY * 2 * math.pi):.3f} {at:.3f}" for at in times]
    climb = [f"past_climb {max(5, min(85, 85 - 30 * (now - at) / 3600)):.3f} {at:.3f}" for at in times[-300:]]
    short = [f"past_short 40 {at:.3f}" for at in times[-SHORT:]]
    head = "# TYPE {} gauge"
    lines = [head.format("past_cpuUsage"), *wave, head.format("past_climb"), *climb]
    lines += [head.format("past_short"), *short, "# EOF"]
    return "\n".join(lines) + "\n"


def of_the_past(shop: Shop, url: str, query: str, **spec: Any) -> Body:
    """Build a twin that asks this query, once an hour, of the Prometheus with a past."""
    shop.source(shop.namespace, url, scrapeIntervalSeconds=STEP)
    metric = {"name": "cpuUsage", "query": query, "staleAfterSeconds": 3600}
    source = {"systemType": "Custom", "targetRef": {"name": "checkout"}, "metrics": [metric]}
    source["metricsSourceRef"] = {"name": shop.namespace}
    defaults: Body = {"syncFrequencySeconds": 60, "predictions": {"horizonsSeconds": [900, 1800, 3600]}}
    return shop.twin(source=source, **(defaults | spec))


def test_a_twin_with_a_past_predicts_at_its_first_sync_and_shows_skill_soon_after(shop: Shop, past: str) -> None:
    shop.apply(shop.deployment())
    shop.apply(of_the_past(shop, past, "past_cpuUsage"))
    status = shop.until(lambda body: body.get("status", {}).get("predictions"), "predictions")["status"]
    assert status["samplesCollected"] > 3 * DAY / 300, "days of the past, at the first sync"
    assert [prediction["horizonSeconds"] for prediction in status["predictions"]] == [900, 1800, 3600]

    status = shop.until_condition("PredictionsAvailable", "True", reason="Predicting")["status"]
    for prediction in status["predictions"]:
        ((lower, median, upper),) = prediction["quantiles"].values()
        assert lower <= median <= upper
        assert 25 < lower <= upper < 55, "a wave without noise leaves next to no interval"
        assert 0 <= prediction["confidence"] <= 1
    skill = status["forecastSkill"]
    assert skill["checks"] > 200, "the whole of the last day was looked back on, an hour ahead every five minutes"
    assert skill["error"] < 0.9, "a wave a day is foreseen better than by its last value"
    assert 0.8 < skill["coverage"] <= 1
    assert "state" not in skill["metrics"][0]
    assert 0 < len(status["restartState"]) <= 400
    told = condition(shop.get(), "PredictionsAvailable")["message"]
    assert "of naive's over the last three days" in told


def test_a_climb_is_foreseen_to_cross_the_limit_and_corrected_before_it_does(shop: Shop, past: str) -> None:
    shop.running()
    shop.apply(of_the_past(shop, past, "max(past_climb)", limits={"cpuUsage": 95}))
    body = shop.until(lambda body: body.get("status", {}).get("risks"), "a risk")
    (risk,) = body["status"]["risks"]
    assert risk["metric"] == "cpuUsage"
    assert "CPU may reach 95% in" in risk["message"]
    assert any("CPU may reach 95% in" in words for words in risk_factors(body))
    assert body["status"].get("corrections", []) == [], "once is not lasting"

    shop.until(lambda _: shop.sync()["status"].get("corrections"), "a correction")
    body = shop.get()
    (record,) = body["status"]["corrections"]
    assert (record["trigger"], record["outcome"], record["from"]) == ("Risk/cpuUsage", "Applied", 2)
    assert "is foreseen at" in record["why"]
    assert shop.live_hpa()["spec"]["minReplicas"] == record["to"] == 3
    assert values(body) == [pytest.approx(85, abs=1)], "the limit is not crossed yet"
    assert shop.events("RiskPredicted")


def test_a_twin_with_too_short_a_past_says_how_much_it_has(shop: Shop, past: str) -> None:
    shop.apply(shop.deployment())
    shop.apply(of_the_past(shop, past, "past_short"))
    body = shop.until_condition("PredictionsAvailable", "False", reason="CollectingSamples")
    collected = body["status"]["samplesCollected"]
    assert abs(collected - SHORT) <= 1, "the twin's slots fall between the samples"
    assert condition(body, "PredictionsAvailable")["message"] == f"{collected} of 10 samples"
    assert body["status"]["summary"]["predicted"] == f"collecting {collected}/10"
    assert body["status"].get("predictions", []) == []


def risk_factors(body: Body) -> list[str]:
    return [words for prediction in body["status"]["predictions"] for words in prediction.get("riskFactors", ())]


def values(body: Body) -> list[float]:
    return [metric["value"] for metric in body["status"]["observed"]]
