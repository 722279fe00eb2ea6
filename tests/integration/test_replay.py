"""``twinops replay`` against a real Prometheus with a past, and for a twin of a real cluster."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from support.chart import ROOT
from twinops.cli.replay_prometheus import Access, read_queries

GROUP = "/apis/twinops.dev/v1alpha1"
STEP = 300
DAYS = 2
FINE_STEP, FINE_HOURS = 5, 14
"""Fourteen hours at five seconds are more points than one range query may have."""


@dataclass(frozen=True)
class Site:
    prometheus: Prometheus
    end: int


@pytest.fixture(scope="module")
def site(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    end = int(time.time()) // STEP * STEP - STEP
    file = tmp_path_factory.mktemp("past") / "past.txt"
    file.write_text("\n".join([*past(end), "# EOF", ""]))
    prometheus = cluster.start_prometheus("replay", PrometheusOptions(scrape_kwok=False, backfill=file))
    yield Site(prometheus, end)
    prometheus.process.stop()


def past(end: int) -> Iterator[str]:
    for moment in range(end - DAYS * 86_400, end + 1, STEP):
        wave = 50 - 30 * math.cos(2 * math.pi * moment / 86_400) + (moment // STEP * 7919) % 11
        yield f'load{{site="a"}} {wave:.3f} {moment}'
        yield f'load{{site="b"}} {2 * wave:.3f} {moment}'
        yield f'latency{{namespace="shop"}} {100 + wave:.3f} {moment}'
    for moment in range(end - FINE_HOURS * 3600, end + 1, FINE_STEP):
        yield f"fine {moment % 97} {moment}"


def replay(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twinops.cli.main", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})  # noqa: S603


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def asked(site: Site, *more: object) -> tuple[object, ...]:
    return ("--prometheus", site.prometheus.url, "--until", site.end, "--range", f"{DAYS}d", *more)


def test_queries_are_replayed(site: Site) -> None:
    done = replay(
        *asked(site, "--query", "total=sum(load)", "--query", 'load{site="a"}', "--limit", "total=220", "--json")
    )

    found = figures(done)
    assert list(found["metrics"]) == ["total", "query2"]
    assert (found["stepSeconds"], found["rows"]) == (STEP, DAYS * 288 + 1)
    total = found["points"]["metrics"]["total"]["value"]
    single = found["points"]["metrics"]["query2"]["value"]
    assert total == pytest.approx([3 * value for value in single], rel=1e-4)
    assert found["metrics"]["total"]["forecasts"]["900"]["origins"] > 200
    assert done.stderr == ""


async def test_long_ranges_are_asked_for_in_pieces(site: Site) -> None:
    # Reading alone: to replay ten thousand syncs takes most of a minute, and other tests do it for fewer.
    access = Access(
        url=site.prometheus.url,
        headers=(),
        token_file=None,
        ca_file=None,
        until=site.end,
        seconds=FINE_HOURS * 3600,
        step=FINE_STEP,
    )
    found = await read_queries(access, ["fine"])

    first = site.end - FINE_HOURS * 3600
    assert found.values[0].tolist() == [(first + FINE_STEP * k) % 97 for k in range(FINE_HOURS * 720 + 1)]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        pytest.param("two=load", "make it one series, for example by sum", id="two series"),
        pytest.param("none=no_such", "nothing was recorded in this time", id="none"),
        pytest.param("bad=sum(load", "Prometheus refuses the query of bad (bad_data): sum(load", id="refused"),
    ],
)
def test_queries_that_cannot_be_replayed(site: Site, query: str, told: str) -> None:
    done = replay(*asked(site, "--query", query))

    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


@pytest.fixture
def twin(cluster: DevCluster, namespace: str) -> str:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    spec = {
        "source": {
            "systemType": "Custom",
            "metricsSourceRef": {"name": "replay-source"},
            "labels": {"site": "a"},
            "metrics": [
                {"name": "load", "query": 'max_over_time(load{site="$(label.site)"}[$(window)])', "unit": "jobs"},
                {"name": "latencyMs", "query": 'latency{namespace="shop"}'},
                {"name": "silent", "query": "no_such_series"},
            ],
        },
        "syncFrequencySeconds": STEP,
        "suspend": True,
        "expectedState": {"metrics": {"load": 50}},
        "limits": {"load": 85},
        "predictions": {"horizonsSeconds": [600, 1200]},
    }
    body = {"apiVersion": "twinops.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "shop"}, "spec": spec}
    cluster.api.create(f"{GROUP}/namespaces/{namespace}/digitaltwins", body)
    return namespace


def test_a_twin_of_the_cluster_is_replayed_by_its_own_queries_and_terms(
    site: Site, cluster: DevCluster, twin: str
) -> None:
    before = cluster.kubectl("-n", twin, "get", "digitaltwin", "shop", "-o", "yaml")

    done = replay(*asked(site, "--twin", "shop", "-n", twin, "--kubeconfig", cluster.kubeconfig, "--json"))

    found = figures(done)
    assert sorted(found["metrics"]) == ["latencyMs", "load"]
    assert found["horizonsSeconds"] == [600, 1200]
    assert (found["metrics"]["load"]["limit"], found["metrics"]["load"]["expected"]) == (85, 50)
    assert found["metrics"]["latencyMs"]["limit"] is None
    assert found["rows"] == DAYS * 288 + 1
    assert any("Prometheus has nothing of silent" in note for note in found["notes"])
    assert any("MetricsSource replay-source cannot be read" in note for note in found["notes"])
    assert found["drift"]["alerts"], "the wave leaves 40..60 every day"
    assert cluster.kubectl("-n", twin, "get", "digitaltwin", "shop", "-o", "yaml") == before, "nothing is written"


def test_namespace_comes_from_the_kubeconfig(site: Site, cluster: DevCluster, twin: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(Path(cluster.kubeconfig).read_text())
    cluster.kubectl("--kubeconfig", str(kubeconfig), "config", "set-context", "--current", f"--namespace={twin}")

    done = replay(*asked(site, "--twin", "shop", "--metric", "load", "--json"), env={"KUBECONFIG": str(kubeconfig)})

    assert list(figures(done)["metrics"]) == ["load"]


def test_a_twin_that_is_not_there(site: Site, cluster: DevCluster, namespace: str) -> None:
    done = replay(*asked(site, "--twin", "nobody", "-n", namespace, "--kubeconfig", cluster.kubeconfig))

    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no DigitalTwin nobody in namespace" in done.stderr


def test_a_kubeconfig_that_is_not_there(site: Site) -> None:
    done = replay(*asked(site, "--twin", "shop", "--kubeconfig", "/nowhere/config"))

    assert (done.returncode, done.stdout) == (2, "")
    assert "no way to reach a cluster" in done.stderr
    assert "Traceback" not in done.stderr
