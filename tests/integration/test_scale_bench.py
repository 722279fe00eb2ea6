"""The scale bench end to end: three twins on a control plane, a Prometheus and an operator of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale.options import Options
from benchmarks.scale.report import lines
from benchmarks.scale.run import measure


@pytest.mark.timeout(300)
def test_three_twins_are_measured(tmp_path: Path) -> None:
    options = Options(
        interval=5, window=10, idle=1, settle=1, history_hours=3, week_share=0, patience=120, directory=tmp_path
    )
    run = measure(options, 3, cores=2)
    steady = run.steady
    assert run.exits == []
    assert set(run.start.seconds) == {"with_status", "ready", "predicting"}
    assert set(steady.syncs) == {"synced"}
    assert steady.sync_count >= 5
    assert {"operator", "prometheus", "apiserver", "etcd"} <= set(steady.costs)
    assert all(steady.costs[name].cores > 0 for name in ("operator", "prometheus", "apiserver", "etcd"))
    assert 0 < steady.prometheus_requests < 50
    assert steady.prometheus_queries > 0
    # The lease is renewed, whatever else is asked.
    assert steady.api_requests["update leases"] > 0
    assert steady.lag.most is not None
    assert steady.resident_bytes > 50_000_000
    assert run.prepared.history_samples == pytest.approx(3 * 2 * 14 * 180, rel=0.02)
    assert next(lines([run], {}, {})).startswith("|  | 3 twins |")
    assert not list((tmp_path / "3").glob("audit*.log"))
