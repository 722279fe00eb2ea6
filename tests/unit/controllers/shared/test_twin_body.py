"""How much of what somebody writes is kept in memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import kopf

from twinops import api
from twinops.api import SYNC_REQUESTED_ANNOTATION, TOUCHED_ANNOTATION
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.twin_body import LONGEST_REQUEST, trim, trimmed
from twinops.core.correction import saved_annotation
from twinops.handlers import twins
from twinops.printable import UNPRINTABLE

LARGEST = 255 * 1024
"""Bytes of the annotations of one object, nearly as many as Kubernetes allows."""


def body(number: int = 0, /, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "twinops.dev/v1alpha1",
        "kind": "DigitalTwin",
        "metadata": {
            "namespace": "shop",
            "name": f"twin{number}",
            "uid": f"uid-{number}",
            "generation": 2,
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["twinops.dev/daemon", "other.io/hold"],
            "labels": {"a": "b" * 63},
            "ownerReferences": [{"name": "x"}] * 50,
            "managedFields": [{"manager": "x" * 128}] * 50,
            "annotations": annotations,
        },
        "spec": {"source": {"systemType": "Custom"}},
        "status": {"healthScore": 90},
    }


def test_only_what_is_used_is_kept() -> None:
    whole = body(0, **{SYNC_REQUESTED_ANNOTATION: "now", TOUCHED_ANNOTATION: "then", "other.io/note": "x"})
    whole["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"

    kept = trimmed(whole)

    assert set(kept["metadata"]) == {
        *("namespace", "name", "uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp"),
        *("finalizers", "annotations"),
    }
    assert kept["metadata"]["annotations"] == {SYNC_REQUESTED_ANNOTATION: "now", TOUCHED_ANNOTATION: "then"}
    assert (kept["spec"], kept["status"], kept["kind"]) == (whole["spec"], whole["status"], "DigitalTwin")
    assert "other.io/note" in whole["metadata"]["annotations"]


def test_every_annotation_of_ours_is_kept() -> None:
    ours = {value for name, value in vars(api).items() if name.endswith("_ANNOTATION")}

    assert set(trimmed(body(0, **dict.fromkeys(ours, "x")))["metadata"]["annotations"]) == ours


def test_an_original_that_is_too_long_to_be_read_stays_so() -> None:
    told = {api.ORIGINAL_ANNOTATION: '{"value": 2}' + " " * 5000}
    kept = trimmed(body(0, **told))["metadata"]["annotations"][api.ORIGINAL_ANNOTATION]

    assert saved_annotation.LONGEST < len(kept) <= saved_annotation.LONGEST + 1


def test_a_bare_body_stays_bare() -> None:
    bare = {"metadata": {"namespace": "shop", "name": "a", "uid": "u", "annotations": None}}

    assert trimmed(bare) == {"metadata": {"namespace": "shop", "name": "a", "uid": "u"}}


def test_a_request_is_cut_and_printable() -> None:
    request = trimmed(body(0, **{SYNC_REQUESTED_ANNOTATION: "\x1b" + "x" * LARGEST}))["metadata"]["annotations"]

    assert len(request[SYNC_REQUESTED_ANNOTATION]) == LONGEST_REQUEST
    assert request[SYNC_REQUESTED_ANNOTATION].startswith(UNPRINTABLE)
    # What is trimmed already stays as it is: the same request is never taken for a new one.
    again = {"metadata": {"annotations": request}}
    assert trimmed(again)["metadata"]["annotations"] == request


def test_many_twins_with_large_annotations_take_little_memory() -> None:
    store = TwinStore()
    tracemalloc.start()
    try:
        for number in range(200):
            store.put(body(number, **{"other.io/note": f"{number:06d}" + "a" * LARGEST}))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(store) == 200
    assert kept < 200 * 8 * 1024


async def test_what_kopf_keeps_of_a_twin_is_trimmed_too() -> None:
    """kopf's daemons hold the very body that our handler of events is given."""
    seen: list[Any] = []

    class WatchEvents:
        def twin_seen(self, body: Any, *, deleted: bool) -> None:
            seen.append((body, deleted))

    registry = kopf.OperatorRegistry()
    twins.register(registry, sync_loop=None, watching=WatchEvents())  # type: ignore[arg-type]  # no daemon runs here
    [handler] = registry._watching.get_all_handlers()
    call: Any = handler.fn
    kopfs = body(0, **{"other.io/note": "x" * LARGEST})
    live = kopf.Body(kopfs)  # type: ignore[arg-type]  # a plain one
    await call(type=None, event={"type": None, "object": kopfs}, body=live)

    assert seen == [(kopfs, False)]
    assert dict(live.metadata.annotations) == {}
    assert list(live.metadata["finalizers"]) == ["twinops.dev/daemon", "other.io/hold"]
    assert "managedFields" not in live.metadata
    assert trim(kopfs) == trimmed(kopfs)
