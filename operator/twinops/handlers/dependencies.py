"""Watch events of MetricsSources and targets; each wakes the twins that refer to the object.

HPAs are watched by ``adapters.kubernetes.hpa_cache``, since syncs read them from that watch.
"""

from __future__ import annotations

from typing import Any

import kopf

from twinops.api import GROUP, VERSION
from twinops.api.source.kind import METRICS_SOURCE
from twinops.controllers.twin.watch_events import WatchEvents

WATCHED = (
    (GROUP, VERSION, METRICS_SOURCE.plural),
    ("apps", "v1", "deployments"),
    ("apps", "v1", "statefulsets"),
)
"""Group, version and plural of the watched kinds. A missing target of another kind is read again every few seconds."""


def register(registry: kopf.OperatorRegistry, *, watching: WatchEvents) -> None:
    """Register a watch for each kind that twins commonly depend on."""
    for group, version, plural in WATCHED:

        @kopf.on.event(group, version, plural, registry=registry, id=f"{plural}-seen")
        async def seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's own name for it
            watching.dependency_seen(dict(body), listed=type is None, deleted=type == "DELETED")
