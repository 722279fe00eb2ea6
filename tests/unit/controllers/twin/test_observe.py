"""What a sync sees of its lever: nothing that goes wrong there ever stops observing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.correcting import NOW, hpa, spec, workload
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.observe import Observer
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.batches import Gathered
from twinops.core.observation import Observation, Sample
from twinops.errors import ClusterError, NotFound, Refused, SpecError, Unavailable
from twinops.ports.kubernetes import TwinRef
from twinops.ports.metrics import SourceAccess

SEEN = {"cpuUsage": Sample("cpuUsage", Quality.GOOD, 70.0)}


class Partners:
    """Everything an observer asks; the lever as told."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def access(self, name: str) -> SourceAccess:
        return SourceAccess(name, MetricsSourceSpec.from_wire({"url": "http://prometheus:9090"}))

    async def get(self, *_: Any) -> Any:
        return workload()

    async def find(self, *_: Any) -> Any:
        if self.error is not None:
            raise self.error
        return hpa()

    async def gather(self, *_: Any, **__: Any) -> Gathered:
        return Gathered(samples=SEEN)

    async def sync(self, *_: Any) -> Any:
        return ForecastResult()


def observed(error: Exception | None, *, failed_syncs: int = 0) -> Observation:
    partners = cast("Any", Partners(error))
    observer = Observer(
        sources=partners,
        workloads=partners,
        levers=partners,
        gatherer=partners,
        histories=partners,
        index=TwinStore(),
        one_shot_managers=("ci-*",),
    )
    twin = cast("Any", SimpleNamespace(ref=TwinRef("shop", "checkout", "uid")))
    return asyncio.run(observer.observe(twin, spec(), DigitalTwinStatus(failed_syncs=failed_syncs), NOW)).observation


def test_a_lever() -> None:
    seen = observed(None)
    assert (seen.lever, seen.lever_unread, seen.one_shot_managers) == (hpa(), False, ("ci-*",))


@pytest.mark.parametrize(
    ("error", "reason", "unread"),
    [
        (SpecError("two of them", reason="AmbiguousHPA"), "AmbiguousHPA", False),
        (Refused("GET /apis/x/v1/namespaces/shop/y/z: 403", status=403), "Forbidden", True),
        (Refused("GET /apis/x/v1/namespaces/shop/y/z: 405", status=405), "RequestRefused", True),
        (NotFound("GET /apis/x/v1/namespaces/shop/y/z: 404", status=404), "RequestRefused", True),
        (Unavailable("GET /apis/x/v1/namespaces/shop/y/z: 500", status=500), "LeverUnavailable", True),
    ],
)
def test_without_one_everything_else_is_observed(error: ClusterError | SpecError, reason: str, *, unread: bool) -> None:
    seen = observed(error, failed_syncs=5)
    assert (seen.samples, seen.workload) == (SEEN, workload())
    assert (seen.lever, seen.no_lever_reason, seen.lever_unread) == (None, reason, unread)
    assert seen.no_lever_message
