"""The reference tables in docs/ name what there is, all of it."""

from __future__ import annotations

import re
from pathlib import Path

from fakes.clock import FakeClock, in_fake_time
from twinops.adapters.telemetry import PrometheusTelemetry
from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef
from twinops.settings import PREFIX, Settings

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


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
