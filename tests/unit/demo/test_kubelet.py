from __future__ import annotations

from typing import Any

import pytest

from demo.kubelet import CpuMeter, is_ready


def pod(ready: str | None, *, ending: bool = False) -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    return {"metadata": {"deletionTimestamp": "now"} if ending else {}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("pod", "ready"),
    [
        pytest.param(pod("True"), True, id="ready"),
        pytest.param(pod("False"), False, id="not ready"),
        pytest.param(pod(None), False, id="pending"),
        pytest.param(pod("True", ending=True), False, id="ending"),
        pytest.param({"metadata": {}}, False, id="no status"),
    ],
)
def test_only_ready_pods_that_stay_take_requests(pod: dict[str, Any], *, ready: bool) -> None:
    assert is_ready(pod) is ready


def test_cpu_seconds_become_millicores() -> None:
    meter = CpuMeter()
    meter.changes({"a": 1.0}, now=10)
    assert meter.changes({"a": 1.2}, now=12) == pytest.approx({"a": 100})


def test_a_small_change_is_not_worth_a_write_and_is_not_lost_either() -> None:
    meter = CpuMeter()
    meter.changes({"a": 0.2}, now=10)
    assert meter.changes({"a": 0.40}, now=12) == {}
    assert meter.changes({"a": 0.605}, now=14) == {}
    assert meter.changes({"a": 0.85}, now=16) == pytest.approx({"a": 122.5})


def test_a_pod_that_comes_back_under_its_name_begins_anew() -> None:
    meter = CpuMeter()
    meter.changes({"a": 5.0}, now=10)
    meter.changes({}, now=12)
    assert meter.changes({"a": 0.1}, now=14) == pytest.approx({"a": 50})
