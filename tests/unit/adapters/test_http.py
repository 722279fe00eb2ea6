"""The operator's HTTP side, over real HTTP."""

from __future__ import annotations

import aiohttp
import pytest

from twinops.adapters.http import Web
from twinops.errors import SettingsError


async def get(port: int, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_probes_and_metrics() -> None:
    state = (True, "0 of 3 twins are overdue")
    web = Web("127.0.0.1", 0, render=lambda: b"twinops_leader 1.0\n", health=lambda: state)
    port = await web.start()
    try:
        status, text, kind = await get(port, "/metrics")
        assert (status, text) == (200, "twinops_leader 1.0\n")
        assert kind.startswith("text/plain; version=0.0.4")
        assert (await get(port, "/healthz"))[:2] == (200, "0 of 3 twins are overdue\n")
        state = (False, "3 of 3 twins are overdue")
        assert (await get(port, "/healthz"))[:2] == (503, "3 of 3 twins are overdue\n")
        assert (await get(port, "/readyz"))[0] == 200
        assert (await get(port, "/"))[0] == 404
    finally:
        await web.stop()


async def test_a_port_in_use_is_explained() -> None:
    first = Web("127.0.0.1", 0, render=bytes, health=lambda: (True, ""))
    port = await first.start()
    second = Web("127.0.0.1", port, render=bytes, health=lambda: (True, ""))
    try:
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}.*TWINOPS_LISTEN_PORT"):
            await second.start()
    finally:
        await second.stop()
        await first.stop()
