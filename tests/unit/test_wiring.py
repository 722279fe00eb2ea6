"""How the parts of a leader are joined."""

from __future__ import annotations

from unittest.mock import create_autospec

from kubernetes.aio.client import ApiClient, Configuration

from fakes.clock import FakeClock, in_fake_time
from fakes.sources import FakeSources
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from twinops.adapters.kubernetes.client import KubeClient
from twinops.controllers.shared.lease import Elector
from twinops.controllers.shared.status_kind import Purpose
from twinops.controllers.shared.status_writer import WriteOutcome
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.watchdog import Watchdog
from twinops.errors import Unavailable
from twinops.settings import Settings
from twinops.wiring import Leader, ProcessContext


@in_fake_time
async def test_metrics_sources_that_cannot_be_written_delay_no_intent_of_a_twin() -> None:
    clock, store, sources, twins = FakeClock(), TwinStore(), FakeSources(), FakeTwins()
    context = ProcessContext(Settings(), clock, FakeTelemetry(), store, Watchdog(store, clock))
    client = KubeClient(ApiClient(Configuration()), timeout_seconds=1)
    leader = Leader(context, client, create_autospec(Elector, instance=True))
    try:
        of_sources = leader._metrics.checks._writer
        of_twins = leader.sync_loop._syncs._publisher._writer  # type: ignore[attr-defined]
        of_sources._client, of_twins._client = sources, twins
        source, twin = sources.add("default"), twins.add("checkout")
        sources.faults = [Unavailable("no answer")] * 6
        for _ in range(3):
            failed = await of_sources.write(source, await sources.get(source), {}, material=True, interval=30)
            assert failed.outcome is WriteOutcome.UNAVAILABLE
            await clock.sleep(4)
        began = clock.monotonic()
        done = await of_twins.write(twin, await twins.get(twin), {}, material=True, interval=60, purpose=Purpose.INTENT)
        assert (done.outcome, clock.monotonic() - began) == (WriteOutcome.WRITTEN, 0)
    finally:
        await leader.aclose()
        await client.aclose()
