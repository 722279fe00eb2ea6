"""What is wrong with a metric stays apart from what is wrong with another one, up into the status."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.exporter import Exporter
from support.operator import condition
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")

STALE_AFTER = 30


def query(name: str) -> str:
    return f'shop_{name}{{namespace="$(namespace)"}}'


def test_every_way_of_having_no_value_is_told_apart(shop: Shop, exporter: Exporter) -> None:
    shop.apply(shop.deployment())
    old = time.time() - 2 * STALE_AFTER
    exporter.set("shop_stale", 7, at=old, namespace=shop.namespace)
    exporter.set("shop_twice", 1, namespace=shop.namespace, zone="a")
    exporter.set("shop_twice", 2, namespace=shop.namespace, zone="b")
    exporter.set("shop_nan", float("nan"), namespace=shop.namespace)
    exporter.set("shop_inf", float("inf"), namespace=shop.namespace)
    # One scrape brings them all.
    shop.metric("good", 0)
    queries = {name: query(name) for name in ("good", "missing", "nan", "inf", "stale", "twice")}
    queries["empty"] = f"{query('good')} > 1000"
    metrics = [{"name": name, "query": text, "staleAfterSeconds": STALE_AFTER} for name, text in queries.items()]
    source = {"systemType": "Custom", "targetRef": {"name": "checkout"}, "metrics": metrics}
    shop.apply(shop.twin(source=source, expectedState={"metrics": {"good": 10, "missing": 10, "nan": 10}}))

    body = shop.until_condition("Ready", "True")
    told = {m["name"]: (m["quality"], m.get("reason"), m.get("value")) for m in body["status"]["observed"]}
    assert told == {
        "good": ("Good", None, 0),
        "missing": ("Missing", "NoSuchSeries", None),
        "empty": ("Empty", "EmptyResult", None),
        "nan": ("NaN", "NotANumber", None),
        "inf": ("NaN", "Infinite", None),
        "stale": ("Stale", "StaleSamples", None),
        "twice": ("Error", "ManySeries", None),
    }
    available = condition(body, "MetricsAvailable")
    assert (available["status"], available["reason"]) == ("True", "SomeMissing")
    for words in ("missing is Missing", "nan is NaN", "stale is Stale", "twice is Error"):
        assert words in available["message"]
    assert body["status"]["health"]["unknown"] == ["missing", "nan"]
    assert body["status"]["health"]["confidence"] < 1
    assert [alert["component"] for alert in body["status"]["drift"]["alerts"]] == ["good"]


def test_what_stands_in_for_a_missing_value_never_corrects_anything(shop: Shop, exporter: Exporter) -> None:
    shop.running()
    names: dict[str, Body] = {"cpuUsage": {"onMissing": "Hold"}, "latencyMs": {"onMissing": "Ignore"}}
    names["throughputRps"] = {"onMissing": "Value", "missingValue": 99}
    metrics = [{"name": name, "query": query(name), **rule} for name, rule in names.items()]
    expected = {"cpuUsage": 50, "latencyMs": 100, "throughputRps": 10}
    exporter.set("shop_latencyMs", 500, namespace=shop.namespace)
    shop.metric("cpuUsage", 90)
    shop.apply(
        shop.twin(
            source={"systemType": "Custom", "targetRef": {"name": "checkout"}, "metrics": metrics},
            expectedState={"metrics": expected},
            syncFrequencySeconds=3600,
        )
    )
    body = shop.until_condition("Ready", "True")
    assert values(body) == {"cpuUsage": ("Good", 90), "latencyMs": ("Good", 500), "throughputRps": ("Missing", 99)}

    exporter.remove("shop_latencyMs", namespace=shop.namespace)
    shop.no_metric("cpuUsage")
    body = shop.sync(5)
    assert values(body) == {"cpuUsage": ("Held", 90), "latencyMs": ("Empty", None), "throughputRps": ("Missing", 99)}
    alerts = body["status"]["drift"]["alerts"]
    assert alerts
    assert [alert["component"] for alert in alerts if alert.get("eligible")] == []
    assert all("no fresh value" in alert["notEligibleReason"] for alert in alerts)
    assert body["status"].get("corrections", []) == []
    assert shop.live_hpa()["spec"]["minReplicas"] == 2


def test_a_web_service_is_measured_without_a_single_query_given(shop: Shop, exporter: Exporter) -> None:
    shop.apply(shop.deployment(), shop.deployment("checkout-worker"))
    shop.ready(2)
    pods = shop.pods()
    for pod in pods:
        serve_http(exporter, shop.namespace, pod, per_second=20)
        shop.cluster.set_pod_usage(shop.namespace, pod, cpu="250m", memory="128Mi")
    for pod in shop.pods("checkout-worker"):
        serve_http(exporter, shop.namespace, pod, per_second=1000)
        shop.cluster.set_pod_usage(shop.namespace, pod, cpu="900m", memory="500Mi")
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}}
    shop.apply(shop.twin(source=source))

    def measured(body: Body) -> bool:
        seen = values(body)
        good = len(seen) == 5 and {quality for quality, _ in seen.values()} == {"Good"}
        # A rate is too low until its window is full. Were the worker's pods counted, it would never come so low.
        filled = {"cpuUsage": 25, "throughputRps": 20 * len(pods)}
        return good and all(seen[name][1] == pytest.approx(value, rel=0.1) for name, value in filled.items())

    shop.until(lambda _: measured(shop.sync()), "all metrics of a web service")
    body = shop.get()
    seen = values(body)
    assert seen["memoryUsage"][1] == pytest.approx(25, rel=0.01)
    assert seen["errorRate"][1] == pytest.approx(0.05, rel=0.2)
    assert seen["latencyMs"][1] == pytest.approx(300, rel=0.1)
    answered = {metric["name"]: metric.get("query") for metric in body["status"].get("observed", ())}
    assert answered["latencyMs"] == answered["throughputRps"] == "http-request-duration"
    assert answered["errorRate"] == "http-request-duration-code"
    assert answered["cpuUsage"] == "container-cpu"


def serve_http(exporter: Exporter, namespace: str, pod: str, *, per_second: float) -> None:
    """Serve what an instrumented HTTP service does: 90 % within 0.1 s, one request in twenty fails."""
    histogram, labels = "http_request_duration_seconds", {"namespace": namespace, "pod": pod}
    for code, share in (("200", 0.95), ("500", 0.05)):
        for least, within in (("0.05", 0.0), ("0.1", 0.9), ("0.5", 1.0), ("+Inf", 1.0)):
            exporter.grow(f"{histogram}_bucket", per_second * share * within, **labels, code=code, le=least)
        exporter.grow(f"{histogram}_count", per_second * share, **labels, code=code)


def values(body: Body) -> dict[str, tuple[str, Any]]:
    return {metric["name"]: (metric["quality"], metric.get("value")) for metric in body["status"].get("observed", ())}
