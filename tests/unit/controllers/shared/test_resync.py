"""Twins without a daemon are found by the list, and synced again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fakes.clock import FakeClock, in_fake_time, until
from twinops.controllers.shared.pacing import FirstSyncs
from twinops.controllers.shared.resync import PERIOD_SECONDS, Resync
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.sync_loop import SyncLoop
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.ports.kubernetes import TwinRef


class Scene:
    """Two twins, of which the first one has a daemon."""

    def __init__(self) -> None:
        clock, self.store = FakeClock(), TwinStore()
        self.restarted: list[TwinRef] = []
        self.synced: list[TwinRef] = []
        self.sync_loop = SyncLoop(
            self,
            self.store,
            WorkQueue(self.store, clock),
            clock,
            Watchdog(self.store, clock),
            first_syncs=FirstSyncs(clock, most=8),
        )
        self.resync = Resync(
            self, self.store, clock, gone=lambda _: None, deleting=lambda _: None, idle=self._found_idle
        )

    def _found_idle(self, ref: TwinRef) -> None:
        self.restarted.append(ref)
        self.sync_loop.restart(ref)

    async def list(self, _: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        meta = {"namespace": "shop", "resourceVersion": "1"}
        spec = {"source": {"systemType": "Custom"}, "syncFrequencySeconds": 60}
        return [{"metadata": {**meta, "name": name, "uid": name}, "spec": spec} for name in ("one", "two")]

    async def sync(self, ref: TwinRef, due: float) -> float | None:
        del due
        self.synced.append(ref)
        return None

    async def crashed(self, ref: TwinRef) -> None:
        raise AssertionError(ref)

    def resume(self, _: TwinRef) -> bool:
        return False


@in_fake_time
async def test_a_twin_that_two_lists_find_without_a_daemon_is_given_one_and_only_one() -> None:
    scene = Scene()
    await scene.resync.first()
    one, two = (TwinRef("shop", name, name) for name in ("one", "two"))
    stop = asyncio.get_running_loop().create_future()
    daemon = asyncio.create_task(scene.sync_loop.run(one, stop))
    running = asyncio.create_task(scene.resync.run())
    await until(lambda: two in scene.synced, within=PERIOD_SECONDS + 1)
    assert scene.restarted == [two]
    # Should its own daemon be started after all, that one ends at once.
    await asyncio.wait_for(scene.sync_loop.run(two, stop), 1)
    await asyncio.sleep(3 * PERIOD_SECONDS)
    assert scene.restarted == [two]
    assert scene.synced.count(two) > 10
    await scene.sync_loop.aclose()
    assert not scene.sync_loop.has_daemon(two.uid)
    running.cancel()
    stop.set_result(None)
    await daemon
