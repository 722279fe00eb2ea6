"""Answers that speak for a part of what is stored, as each backend says it, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from fakes.http_server import serve
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.source.spec import MetricsSourceSpec
from twinops.core.metrics.queries import PARTIAL
from twinops.ports.metrics import NO_STORE, RangeQuery, SourceAccess

AT = 1_800_000_000.0
VALUE = [{"metric": {}, "value": [AT, "100"]}]
VALUES = [{"metric": {}, "values": [[AT, "100"]]}]

THANOS_STORE = {
    "warnings": ["receive series from Addr: 10.0.0.7:10901: rpc error: code = Unavailable desc = connection error"]
}
THANOS_NO_STORE = {"warnings": ["No StoreAPIs matched for this query", "No StoreAPIs matched for this query"]}
QUANTILE = "PromQL warning: quantile value should be between 0 and 1, got 95 (1:20)"

CASES = [
    pytest.param({"warnings": ["remote_read: connection refused"]}, PARTIAL, id="Prometheus, remote read"),
    pytest.param(THANOS_STORE, PARTIAL, id="Thanos, a store is away"),
    pytest.param({"warnings": ["Query result may contain partial data."]}, PARTIAL, id="Cortex and Mimir"),
    pytest.param({"isPartial": True}, PARTIAL, id="VictoriaMetrics"),
    pytest.param({"isPartial": True, "warnings": []}, PARTIAL, id="VictoriaMetrics, with a list"),
    pytest.param({"isPartial": "true"}, PARTIAL, id="not understood"),
    pytest.param({"warnings": [QUANTILE, "store 10.0.0.7 is away"]}, PARTIAL, id="a store behind an annotation"),
    pytest.param({"warnings": [QUANTILE, "12 more warning annotations omitted"]}, PARTIAL, id="nobody knows which"),
    pytest.param({"warnings": "store 10.0.0.7 is away"}, PARTIAL, id="a text for a list"),
    pytest.param({"warnings": [{"store": "10.0.0.7"}]}, PARTIAL, id="an object for a text"),
    pytest.param({}, "", id="whole"),
    pytest.param({"warnings": None}, "", id="null"),
    pytest.param({"warnings": []}, "", id="no warning"),
    pytest.param({"isPartial": False}, "", id="VictoriaMetrics, whole"),
    pytest.param({"warnings": [QUANTILE]}, "", id="what PromQL finds odd"),
    pytest.param({"warnings": ["PromQL info: metric might not be a counter"]}, "", id="Prometheus 2 put infos there"),
    pytest.param({"infos": ["PromQL info: metric might not be a counter"]}, "", id="infos"),
    pytest.param({"warnings": ["results truncated due to limit"]}, "", id="our own limit"),
]


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend()
    yield backend
    await backend.aclose()


def body(beside: Mapping[str, Any], kind: str, result: object) -> str:
    return json.dumps({"status": "success", **beside, "data": {"resultType": kind, "result": result}})


def source(url: str) -> SourceAccess:
    return SourceAccess("default", MetricsSourceSpec(url=url))


@pytest.mark.parametrize(("beside", "error"), CASES)
async def test_value_beside_a_missing_store_is_none(
    backend: PrometheusBackend, beside: Mapping[str, Any], error: str
) -> None:
    with serve(lambda request: request.answer(200, body(beside, "vector", VALUE))) as server:
        [answer] = await backend.instant(source(server.url), ["sum(load)"], AT)

    assert (answer.error, answer.values) == (error, () if error else (100,))


@pytest.mark.parametrize(("beside", "error"), CASES)
async def test_past_beside_a_missing_store_is_none(
    backend: PrometheusBackend, beside: Mapping[str, Any], error: str
) -> None:
    with serve(lambda request: request.answer(200, body(beside, "matrix", VALUES))) as server:
        [answer] = await backend.ranges(source(server.url), [RangeQuery("sum(load)", AT, AT + 60, 60)])

    assert (answer.error, len(answer.series)) == (error, 0 if error else 1)


async def test_time_that_no_store_knows_is_told_from_a_store_that_is_away(backend: PrometheusBackend) -> None:
    with serve(lambda request: request.answer(200, body(THANOS_NO_STORE, "matrix", []))) as server:
        [of_long_ago] = await backend.ranges(source(server.url), [RangeQuery("sum(load)", AT, AT + 60, 60)])
    with serve(lambda request: request.answer(200, body(THANOS_NO_STORE, "vector", []))) as server:
        [now] = await backend.instant(source(server.url), ["sum(load)"], AT)

    assert (of_long_ago.error, now.error) == (NO_STORE, PARTIAL)
