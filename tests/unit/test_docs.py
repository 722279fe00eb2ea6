"""The reference tables in docs/ name what there is, all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.adapters.telemetry import PrometheusTelemetry
from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef
from twinops.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
OPERATING = (ROOT / "docs" / "operating.md").read_text()


@pytest.mark.parametrize("document", ["docs/architecture.md", "docs/glossary.md"])
def test_every_file_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    there = [f"/{path.relative_to(ROOT)}" for folder in ("operator", "tests") for path in (ROOT / folder).rglob("*.py")]
    named = {name for name in re.findall(r"`([^`\s]+\.py)`", text) if "<" not in name}
    assert named
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []


def test_every_setting_is_documented_and_no_other() -> None:
    told = set(re.findall(rf"`({PREFIX}[A-Z_]+)`", OPERATING))
    assert told == {PREFIX + name.upper() for name in Settings.model_fields}


@in_fake_time
async def test_every_metric_is_documented_and_no_other() -> None:
    telemetry = PrometheusTelemetry(FakeClock())
    ref = TwinRef("shop", "checkout", "u1")
    telemetry.synced(ref, result="synced", seconds=0.1, late_seconds=0)
    telemetry.assessed(ref, DigitalTwinStatus())
    telemetry.corrected(ref, Outcome.APPLIED)
    telemetry.source_answered("default", up=True)
    served = {line.split()[2] for line in telemetry.render().decode().splitlines() if line.startswith("# TYPE")}
    told = set(re.findall(r"^\| `(twinops_[a-z_]+)`", OPERATING, re.MULTILINE))
    assert told == {name for name in served if not name.endswith("_created")}
