"""What one author writes costs the others nothing: hostile queries beside a twin that goes on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest

from support.operator import condition
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")

LONGEST = 4096
OPEN_QUOTE = '"' + '\\"' * 700
QUERIES = {
    "minus": "-" * (LONGEST - 1) + "a",
    "brackets": "(" * 2047 + "a" + ")" * 2047,
    "powers": "a" + "^a" * 2047,
    "openQuote": OPEN_QUOTE + "$(namespace)" * ((LONGEST - len(OPEN_QUOTE)) // 12),
    "expressions": "a{" + ",".join(r'b=~"\\pL{90}"' for _ in range(250)) + "}",
    "noDuration": "a offset NaN",
    "escape": 'sum(nothing{a="\x1b]0;title\x07\u202e"})',
}
UNREAD = ("minus", "brackets", "powers", "noDuration")
"""Prometheus takes these; our parser would not survive them."""


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def test_hostile_queries_cost_the_others_nothing(shop: Shop) -> None:
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin())
    metrics = [{"name": name, "query": query, "unit": "\x1b[31m"} for name, query in QUERIES.items()]
    evil = shop.twin("evil", source={"systemType": "Custom", "metrics": metrics}, autoCorrection={"mode": "Preview"})
    evil["metadata"]["annotations"] = {"other.io/note": "x" * 200_000}
    shop.apply(evil, manager="hostile")

    def told(body: Body) -> bool:
        return len((body.get("status") or {}).get("observed", ())) == len(QUERIES)

    status = shop.until(told, "an answer for every query", name="evil")["status"]
    shop.sync(2)

    observed = {metric["name"]: metric for metric in status["observed"]}
    assert all(metric["quality"] != "Good" for metric in observed.values())
    told_of = condition({"status": status}, "MetricsAvailable")["message"]
    assert [name for name in QUERIES if f"metric {name}: our PromQL parser" in told_of] == list(UNREAD)
    assert observed["openQuote"]["reason"] == "QueryRefused"
    assert all(unicodedata.category(letter) not in {"Cc", "Cf"} for text in texts(status) for letter in text)
    assert shop.get()["status"]["observed"][0]["value"] == 40
