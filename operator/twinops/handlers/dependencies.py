"""Watch events of MetricsSources; each wakes the twins that refer to the source.

Targets and HPAs are watched by ``adapters.kubernetes.target_cache`` and ``hpa_cache``, since syncs read them there.
"""

from __future__ import annotations

from typing import Any

import kopf

from twinops.api import GROUP, VERSION
from twinops.api.source.kind import METRICS_SOURCE
from twinops.controllers.twin.watch_events import WatchEvents


def register(registry: kopf.OperatorRegistry, *, watching: WatchEvents) -> None:
    """Register the watch of MetricsSources."""
    plural = METRICS_SOURCE.plural

    @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=f"{plural}-seen")
    async def seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's own name for it
        watching.dependency_seen(dict(body), listed=type is None, deleted=type == "DELETED")
