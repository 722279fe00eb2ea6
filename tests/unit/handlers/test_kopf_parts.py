"""The parts of kopf that ours replace, at each place where kopf builds on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import kopf
import pytest

# Inside kopf: what is tested is how its own cycle gets on with our parts.
from kopf._cogs.clients import patching
from kopf._cogs.structs import ids, references
from kopf._core.actions import application

from twinops.api import TOUCHED_ANNOTATION
from twinops.controllers.shared.sync_loop import FINISH_SECONDS
from twinops.handlers.operator import NothingDiffed, NothingInProgress, kopf_settings

RESOURCE = references.Resource("twinops.dev", "v1alpha1", "digitaltwins", namespaced=True)
HANDLER = ids.HandlerId("sync")


def body(**annotations: str) -> kopf.Body:
    meta = {"name": "checkout", "namespace": "shop", "annotations": annotations}
    raw: Any = {"metadata": meta, "spec": {"suspend": False}}
    return kopf.Body(raw)


def touched(value: str | None, **annotations: str) -> Mapping[str, Any]:
    patch = kopf.Patch()
    NothingInProgress().touch(body=body(**annotations), patch=patch, value=value)
    return dict(patch)


@pytest.mark.parametrize("there", [{}, {TOUCHED_ANNOTATION: "{[hostile"}, {TOUCHED_ANNOTATION: ""}])
def test_a_touch_changes_the_object_whatever_stands_there(there: dict[str, str]) -> None:
    assert touched("now", **there) == {"metadata": {"annotations": {TOUCHED_ANNOTATION: "now"}}}


def test_what_anybody_has_left_there_costs_nothing() -> None:
    assert touched(None, **{TOUCHED_ANNOTATION: "{[hostile"}) == {}


async def test_kopf_comes_back_to_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Mapping[str, Any]] = []

    async def patch_obj(*, patch: kopf.Patch, **_: Any) -> tuple[None, None]:
        sent.append(dict(patch))
        return None, None

    monkeypatch.setattr(patching, "patch_obj", patch_obj)
    await application.apply(
        settings=kopf_settings(),
        resource=RESOURCE,
        body=body(),
        patch=kopf.Patch(),
        delays=[0.01],
        logger=logging.getLogger("test"),  # type: ignore[arg-type]  # any logger does
        stream_pressure=asyncio.Event(),
    )
    # The API server answers a change with an event, and only an event makes kopf look again.
    assert [list(patch["metadata"]["annotations"]) for patch in sent] == [[TOUCHED_ANNOTATION]]


def test_nothing_that_anybody_writes_is_read() -> None:
    hostile = body(**{"kopf.zalando.org/last-handled-configuration": "{[", "twinops.dev/sync": "{["})
    diffbase: kopf.DiffBaseStorage = NothingDiffed()
    progress: kopf.ProgressStorage = NothingInProgress()
    assert diffbase.fetch(body=hostile) is None
    assert progress.fetch(key=HANDLER, body=hostile) is None


def test_nothing_is_copied_for_a_comparison_that_nobody_makes() -> None:
    class Dear(dict[str, Any]):
        def __deepcopy__(self, _: Any) -> Any:
            raise AssertionError("copied")

    raw: Any = {"metadata": Dear(annotations=Dear(a="b")), "spec": Dear()}
    essence = NothingDiffed().build(body=kopf.Body(raw), extra_fields=[("spec", "suspend")])
    assert essence == {}
    assert NothingInProgress().clear(essence=essence) is essence


def test_kopf_waits_longer_for_a_daemon_than_a_daemon_takes_to_end() -> None:
    settings = kopf_settings()
    assert settings.background.instant_exit_timeout is not None
    assert settings.background.instant_exit_timeout > FINISH_SECONDS
    assert max(settings.queueing.error_delays) <= 10
