"""DigitalTwins: watch events, and one daemon per twin that runs its syncs."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf

from twinops.api import GROUP, VERSION
from twinops.api.twin.kind import DIGITAL_TWIN
from twinops.controllers.shared.sync_loop import SyncLoop
from twinops.controllers.shared.twin_body import trim
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.ports.kubernetes import TwinRef

FORCED_SECONDS = 3.0
"""Seconds after which a daemon that has not ended by itself is cancelled, and again after which it is abandoned."""


def register(registry: kopf.OperatorRegistry, *, sync_loop: SyncLoop, watching: WatchEvents) -> None:
    """Register the handlers of DigitalTwins."""

    @kopf.on.event(GROUP, VERSION, DIGITAL_TWIN.plural, registry=registry, id="twin-seen")
    async def seen(type: str | None, event: Any, **_: Any) -> None:  # noqa: A002 - kopf's own name for it
        # Trimmed in place: kopf keeps this same dict in memory while the twin exists.
        watching.twin_seen(trim(event["object"]), deleted=type == "DELETED")

    @kopf.daemon(
        GROUP,
        VERSION,
        DIGITAL_TWIN.plural,
        registry=registry,
        id="sync",
        cancellation_timeout=FORCED_SECONDS,
    )
    async def keep_in_sync(
        namespace: str | None, name: str, uid: str, stopped: kopf.DaemonStopped, body: kopf.Body, **_: Any
    ) -> None:
        watching.twin_seen(dict(body), deleted=False)
        stop = asyncio.ensure_future(stopped.wait())
        try:
            await sync_loop.run(TwinRef(namespace or "", name, uid), stop)
        finally:
            stop.cancel()
