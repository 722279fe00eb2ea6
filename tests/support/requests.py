"""What the operator asks the API server about the objects of one shop, from the audit log."""

from __future__ import annotations

from collections.abc import Iterable

from devcluster.waiting import wait_until
from support.shop import Shop


def requests_about(shop: Shop) -> list[str]:
    """Return verb and resource of every request about the objects of this namespace, its Events aside."""
    return [
        f"{event['verb']} {'/'.join(filter(None, (about['resource'], about.get('subresource'))))}"
        for event in shop.cluster.audit_events(reads=True)
        if "twinops-system" in event.get("user", {}).get("username", "")
        and (about := event.get("objectRef", {})).get("namespace") == shop.namespace
        and about["resource"] != "events"
    ]


def reads(asked: Iterable[str]) -> list[str]:
    """Return those of the requests that read."""
    return [one for one in asked if one.split()[0] in ("get", "list")]


def until_watched(shop: Shop) -> None:
    """Sync until one sync has read nothing."""

    def look() -> bool:
        before = len(requests_about(shop))
        shop.sync()
        return not reads(requests_about(shop)[before:])

    wait_until(look, within=30, what="a sync that reads nothing")
