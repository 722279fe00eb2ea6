from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from demo.load.__main__ import control
from demo.load.generator import Generator
from demo.load.profile import LoadProfile
from demo.scenario import PodShape
from demo.shop.service import REPLICAS_HEADER, Shop

Client = TestClient[web.Request, web.Application]

SHAPE = PodShape(slots=1, mean_seconds=0.01, spread=0.0, max_waiting=1)


@pytest.fixture
async def shop() -> AsyncIterator[Client]:
    async with TestClient(TestServer(Shop("shop", SHAPE, seed=1).application())) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the code under test has no event to wait for
            await asyncio.sleep(0.01)


async def exposed(shop: Client) -> str:
    return await (await shop.get("/metrics")).text()


async def test_orders_are_served_by_ready_pods_and_refused_without(shop: Client) -> None:
    assert (await shop.get("/")).status == 503
    assert (await shop.put("/-/pods", json=["a", "b"])).status == 204
    answer = await shop.get("/")
    assert answer.status == 200
    assert answer.headers[REPLICAS_HEADER] == "2"


async def test_an_overloaded_shop_says_so_at_once(shop: Client) -> None:
    await shop.put("/-/pods", json=["a"])
    codes = sorted([answer.status for answer in await asyncio.gather(*(shop.get("/") for _ in range(3)))])
    assert codes == [200, 200, 503]


async def test_every_pod_has_its_series_from_its_first_moment(shop: Client) -> None:
    await shop.put("/-/pods", json=["a", "b"])
    await shop.get("/")
    text = await exposed(shop)
    found = re.findall(r'^http_requests_total\{code="200",namespace="shop",pod="(\w)"\} (\S+)$', text, re.MULTILINE)
    assert dict(found) in ({"a": "1.0", "b": "0.0"}, {"a": "0.0", "b": "1.0"})
    assert 'http_request_duration_seconds_bucket{le="0.4",namespace="shop",pod="b"}' in text


async def test_refusals_are_counted_by_their_code(shop: Client) -> None:
    await shop.put("/-/pods", json=["a"])
    await asyncio.gather(*(shop.get("/") for _ in range(3)))
    assert 'http_requests_total{code="503",namespace="shop",pod="a"} 1.0' in await exposed(shop)


async def test_a_gone_pod_takes_its_series_along(shop: Client) -> None:
    await shop.put("/-/pods", json=["a", "b"])
    await shop.put("/-/pods", json=["b"])
    assert 'pod="a"' not in await exposed(shop)


async def test_cpu_is_told_by_pod(shop: Client) -> None:
    await shop.put("/-/pods", json=["a"])
    await shop.get("/")
    used = await (await shop.get("/-/cpu")).json()
    assert used["a"] == pytest.approx(0.01 * 0.2, rel=0.5)


async def test_two_shops_get_the_same_requests_and_the_weaker_one_fails_more() -> None:
    strong, weak = Shop("strong", SHAPE, seed=1), Shop("weak", SHAPE, seed=1)
    async with (
        TestClient(TestServer(strong.application())) as strong_client,
        TestClient(TestServer(weak.application())) as weak_client,
    ):
        await strong_client.put("/-/pods", json=["a", "b", "c", "d", "e"])
        await weak_client.put("/-/pods", json=["a"])
        urls = {"strong": str(strong_client.make_url("/")), "weak": str(weak_client.make_url("/"))}
        generator = Generator(urls, LoadProfile(200), seed=1, timeout=0.5)
        async with TestClient(TestServer(control(generator))) as client:
            await until(lambda: min(len(generator.answers["weak"]), len(generator.answers["strong"])) >= 100)
            report = await (await client.get("/report", params={"start": 0, "end": 1e9, "limit": 400})).json()
    sent = [sorted(answer.sent for answer in generator.answers[name])[:90] for name in ("strong", "weak")]
    assert sent[0] == sent[1]
    assert report["strong"]["summary"]["failed_share"] < report["weak"]["summary"]["failed_share"]
    assert report["strong"]["seconds"][0]["replicas"] == 5


async def test_the_load_can_be_changed_while_it_runs(shop: Client) -> None:
    await shop.put("/-/pods", json=["a"])
    generator = Generator({"shop": str(shop.make_url("/"))}, LoadProfile(10), seed=1, timeout=0.5)
    async with TestClient(TestServer(control(generator))) as client:
        answer = await (await client.put("/load", json=[{"seconds": 0, "to": 50}])).json()
        assert generator.profile.rate(answer["now"] + 1) == 50


async def test_a_shop_that_is_not_there_is_a_failure_like_any_other(unused_tcp_port: int) -> None:
    generator = Generator({"shop": f"http://127.0.0.1:{unused_tcp_port}/"}, LoadProfile(100), seed=1, timeout=0.5)
    async with TestClient(TestServer(control(generator))):
        await until(lambda: bool(generator.answers["shop"]))
    assert generator.answers["shop"][0].failed
    assert generator.answers["shop"][0].seconds == 0.5
