"""The bench of whole syncs: its parts are those of the sync, and add up."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.whole_sync import PARTS, whole_sync
from twinops.core.forecast.recorded import Recorded
from twinops.core.series import Floats, Series


def test_parts_of_a_sync_add_up() -> None:
    times: Floats = np.arange(120, dtype=np.float64) * 60.0 + 1_800_000_000.0
    values: Floats = 50 + np.sin(times)
    past = {"cpuUsage": Recorded(Series(times, values, 60.0))}
    found = whole_sync(past, 60.0, {"cpuUsage": 90.0}, twins=1)
    assert list(found) == ["all", *PARTS]
    assert found["all"] == pytest.approx(sum(found[part] for part in PARTS))
    assert found["observe"] > 0
