"""What a restart resumes from: the states in status, as long as they belong to the same query."""

from __future__ import annotations

import asyncio

from fakes.metrics_backend import FakeBackend
from support.history_syncs import (
    NOW,
    caching,
    daily,
    good,
    recorded,
    spec,
    sync,
)


async def test_restart_resumes_from_status_without_learning_everything_again() -> None:
    twin = spec(length=86_400)
    async with caching(FakeBackend(history=recorded())) as histories:
        await sync(histories, NOW, good(daily(NOW)), twin=twin)
        for minute in range(1, 40):
            await asyncio.sleep(0.001)
            before = await sync(histories, NOW + 60 * minute, good(daily(NOW + 60 * minute)), twin=twin)
    [skill] = before.skills
    restart_state = before.restart_state
    async with caching(FakeBackend(history=recorded())) as histories:
        after = await sync(histories, NOW + 2460, good(daily(NOW + 2460)), twin=twin, restart_state=restart_state)

    assert not after.warming
    [resumed] = after.skills
    assert resumed.checks >= skill.checks - 15, "what stands in status is a quarter of an hour old at most"
    assert len(restart_state) <= 300


async def test_restart_does_not_resume_from_what_was_learned_by_another_query() -> None:
    twin = spec(length=86_400)
    async with caching(FakeBackend(history=recorded())) as histories:
        learned = (await sync(histories, NOW, good(daily(NOW)), twin=twin)).restart_state
    async with caching(FakeBackend(history=recorded())) as histories:
        other = "in other units"
        after = await sync(histories, NOW + 60, good(daily(NOW)), twin=twin, restart_state=learned, promql=other)

    assert learned

    assert after.warming
