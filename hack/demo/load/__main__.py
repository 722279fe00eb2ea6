"""The load generator as a process: sends requests, and is told and asked over HTTP."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict

from aiohttp import web

from demo.load.generator import Generator
from demo.load.measure import by_second, summarize
from demo.load.profile import LoadProfile, Segment
from demo.shop.service import LOOPBACK

_GENERATOR = web.AppKey("generator", Generator)


def control(generator: Generator) -> web.Application:
    """Return the application that controls a generator and runs it as long as it is served.

    - `GET /now`: seconds since the start.
    - `PUT /load`, a list of `{"seconds": …, "to": …}`: follow these segments from now on; answers the time.
    - `GET /report?start=…&end=…&limit=…`: by shop, the `summary` and the `seconds` of that period.
    """
    application = web.Application()
    application[_GENERATOR] = generator
    application.cleanup_ctx.append(_running)
    application.add_routes([web.get("/now", _now), web.put("/load", _load), web.get("/report", _report)])
    return application


async def _running(application: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(application[_GENERATOR].run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _now(request: web.Request) -> web.Response:
    return web.json_response({"now": request.app[_GENERATOR].now})


async def _load(request: web.Request) -> web.Response:
    generator = request.app[_GENERATOR]
    now = generator.now
    generator.profile.go(now, [Segment(**segment) for segment in await request.json()])
    return web.json_response({"now": now})


async def _report(request: web.Request) -> web.Response:
    generator = request.app[_GENERATOR]
    start = float(request.query["start"])
    end = float(request.query["end"])
    limit = float(request.query["limit"])
    report = {}
    for name in generator.answers:
        answers = generator.between(name, start, end)
        report[name] = {
            "summary": asdict(summarize(answers, limit_ms=limit)),
            "seconds": [asdict(second) for second in by_second(answers)],
        }
    return web.json_response(report)


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="python -m demo.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of the control endpoint, on loopback")
    parser.add_argument("--shop", action="append", required=True, metavar="NAME=URL", help="may be given again")
    parser.add_argument("--rate", type=float, required=True, help="requests/s to begin with")
    parser.add_argument("--timeout", type=float, required=True, help="seconds until a request counts as failed")
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    shops = dict(shop.split("=", maxsplit=1) for shop in given.shop)
    generator = Generator(shops, LoadProfile(given.rate), seed=given.seed, timeout=given.timeout)
    web.run_app(control(generator), host=LOOPBACK, port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
