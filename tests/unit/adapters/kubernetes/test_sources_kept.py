"""What is kept of MetricsSources, whose names anybody may write into a twin."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.adapters.kubernetes.sources import MOST_KEPT, PROBLEM_TTL_SECONDS, ClusterSources
from twinops.errors import NotFound, SourceNotFound


class Clock:
    """Time that the test sets."""

    time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Nothing:
    """An API server without sources."""

    reads = 0

    async def get(self, path: str, **_: Any) -> dict[str, Any]:
        self.reads += 1
        raise NotFound(path, status=404)


async def test_names_of_sources_that_are_none_leave_nothing_behind() -> None:
    clock, api = Clock(), Nothing()
    sources = ClusterSources(api, clock, namespace="twinops")  # type: ignore[arg-type]  # it is only asked
    for number in range(10 * MOST_KEPT):
        clock.time += PROBLEM_TTL_SECONDS / 100
        with pytest.raises(SourceNotFound):
            await sources.access(f"none-{number}")

    assert api.reads == 10 * MOST_KEPT
    assert len(sources._cache) <= MOST_KEPT + 1
    assert not sources._reading


async def test_a_problem_is_looked_at_once_for_all() -> None:
    api = Nothing()
    sources = ClusterSources(api, Clock(), namespace="twinops")  # type: ignore[arg-type]  # it is only asked
    for _ in range(3):
        with pytest.raises(SourceNotFound):
            await sources.access("none")

    assert api.reads == 1
