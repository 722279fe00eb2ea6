"""The scale bench: its parsers on recorded text, what its figures mean, its history, and its report."""

from __future__ import annotations

import io
import json
import math
import os
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.scale import audit, exposition, figures, options, plots, procfs, report
from benchmarks.scale.exporter import Series
from benchmarks.scale.figures import Span
from benchmarks.scale.history import STEP, Past, windows, write
from benchmarks.scale.options import OptionError
from benchmarks.scale.procfs import Usage
from benchmarks.scale.projection import project
from benchmarks.scale.readings import Reading
from benchmarks.scale.run import Run
from benchmarks.scale.start import Look, Start
from benchmarks.scale.workload import COLUMNS, DAY, PODS
from benchmarks.scale.world import Prepared

NOW = 1_800_000_000.0

OPERATOR_BEFORE = """\
# HELP twinops_sync_total Syncs, by result.
# TYPE twinops_sync_total counter
twinops_sync_total{result="synced"} 100.0
# HELP twinops_sync_lag_seconds How long after its slot, or its request, a sync began.
# TYPE twinops_sync_lag_seconds histogram
twinops_sync_lag_seconds_bucket{le="0.1"} 90.0
twinops_sync_lag_seconds_bucket{le="0.5"} 100.0
twinops_sync_lag_seconds_bucket{le="1.0"} 100.0
twinops_sync_lag_seconds_bucket{le="+Inf"} 100.0
twinops_sync_lag_seconds_count 100.0
twinops_health_score{namespace="load-0000",twin="w-00000"} 100.0
"""
OPERATOR_AFTER = """\
twinops_sync_total{result="synced"} 290.0
twinops_sync_total{result="failed"} 10.0
twinops_sync_lag_seconds_bucket{le="0.1"} 90.0
twinops_sync_lag_seconds_bucket{le="0.5"} 290.0
twinops_sync_lag_seconds_bucket{le="1.0"} 300.0
twinops_sync_lag_seconds_bucket{le="+Inf"} 300.0
twinops_status_writes_total{kind="heartbeat"} 150.0
twinops_status_writes_total{kind="material"} 20.0
twinops_health_score{namespace="load-0000",twin="w-00000"} 100.0
"""
PROMETHEUS_BEFORE = """\
prometheus_http_requests_total{code="200",handler="/api/v1/query"} 1000
prometheus_http_requests_total{code="200",handler="/metrics"} 3
"""
PROMETHEUS_AFTER = """\
prometheus_engine_query_duration_seconds_count{slice="inner_eval"} 40
prometheus_engine_query_duration_seconds_count{slice="queue_time"} 40
prometheus_http_requests_total{code="200",handler="/api/v1/query"} 1020
prometheus_http_requests_total{code="200",handler="/api/v1/query_range"} 4
prometheus_http_requests_total{code="400",handler="/api/v1/query"} 6
prometheus_http_requests_total{code="200",handler="/metrics"} 4
"""
ETCD = "etcd_debugging_mvcc_total_put_size_in_bytes {}\n"
STAT = (
    "4242 (twin (ops) x) S 1 4242 4242 0 -1 4194304 31 0 0 0 1500 250 0 0 20 0 12 0 55 1000 25 18446744073709551615\n"
)


def reading(at: float, cpu: dict[str, float], metrics: tuple[str, str, float], *, pid: int = 7) -> Reading:
    operator, prometheus, put = metrics
    return Reading(
        at=at,
        pids=dict.fromkeys(cpu, pid),
        usages={name: Usage(seconds, 200_000_000) for name, seconds in cpu.items()},
        busy_seconds=2 * sum(cpu.values()),
        operator=exposition.parse(operator, ("twinops_sync_", "twinops_status_writes_total")),
        prometheus=exposition.parse(prometheus, ("prometheus_",)),
        etcd=exposition.parse(ETCD.format(put), ("etcd_",)),
    )


def window() -> Span:
    return Span(
        reading(NOW, {"operator": 10.0, "prometheus": 5.0}, (OPERATOR_BEFORE, PROMETHEUS_BEFORE, 1000)),
        reading(NOW + 100, {"operator": 14.0, "prometheus": 8.0}, (OPERATOR_AFTER, PROMETHEUS_AFTER, 31_000)),
    )


def idle() -> Span:
    return Span(
        reading(NOW - 60, {"operator": 9.0, "prometheus": 4.0}, ("", PROMETHEUS_BEFORE, 0)),
        reading(NOW - 10, {"operator": 9.5, "prometheus": 4.0}, ("", PROMETHEUS_BEFORE, 5000)),
    )


def a_run(count: int = 50, notes: list[str] | None = None) -> Run:
    requests = audit.Requests(Counter({"get deployments": 200, "update digitaltwins/status": 100}), 0, [2000], [4000])
    look = Look(9.0, count, count, count, count - 1)
    start = Start(3.0, {"with_status": 4.0, "ready": 8.0}, [Look(1.0, count, 0, 0, 0), look], {"operator": 5.0})
    span = window()
    costs = {"apiserver": 1.0, "etcd": 0.5}
    wide = Span(
        reading(NOW, {"operator": 10.0, "prometheus": 5.0} | dict.fromkeys(costs, 0.0), ("", "", 0)),
        reading(NOW + 100, {"operator": 14.0, "prometheus": 8.0} | costs, ("", "", 0)),
    )
    steady = figures.steady(
        count,
        idle(),
        Span(
            Reading(NOW, wide.before.pids, wide.before.usages, 0.0, span.before.operator, span.before.prometheus,
                    span.before.etcd),
            Reading(NOW + 100, wide.after.pids, wide.after.usages, 50.0, span.after.operator, span.after.prometheus,
                    span.after.etcd),
        ),
        requests,
    )  # fmt: skip
    return Run(count, 60, Prepared(1.0, 1000, 2.0), start, steady, [], notes or [])


def test_series_are_read_with_their_labels_whatever_these_hold() -> None:
    text = 'a_total{x="1,\\"2\\"}",y="b c"} 4.5e+01\na_total 2 1800000000000\nb_total 7\n# a_total 9\n'
    samples = exposition.parse(text, ("a_",))
    assert samples.values == {("a_total", (("x", '1,\\"2\\"}'), ("y", "b c"))): 45.0, ("a_total", ()): 2.0}
    assert samples.total("a_total") == 47.0
    assert samples.by("a_total", "y") == {"b c": 45.0, "": 2.0}


def test_series_per_twin_are_passed_over() -> None:
    assert exposition.parse(OPERATOR_BEFORE, ("twinops_sync_",)).named("twinops_health.*") == []


@pytest.mark.parametrize(
    ("buckets", "median", "most"),
    [
        pytest.param({}, None, None, id="no observation"),
        pytest.param({"0.1": 0, "0.5": 0, "+Inf": 0}, None, None, id="none in the window"),
        pytest.param({"0.1": 10, "0.5": 10, "+Inf": 10}, 0.05, 0.1, id="all in the first bucket"),
        pytest.param({"0.1": 0, "0.5": 10, "+Inf": 10}, 0.3, 0.5, id="an empty bucket below"),
        pytest.param({"0.1": 0, "0.5": 2, "+Inf": 10}, math.inf, math.inf, id="in the open bucket"),
    ],
)
def test_quantiles_of_a_histogram(buckets: dict[str, int], median: float | None, most: float | None) -> None:
    text = "".join(f'lag_bucket{{le="{bound}"}} {count}\n' for bound, count in buckets.items())
    histogram = exposition.parse(text, ("lag",)).histogram("lag")
    assert histogram.quantile(0.5) == (None if median is None else pytest.approx(median))
    assert histogram.largest() == most


def test_cpu_time_is_read_behind_any_name() -> None:
    assert procfs.cpu_seconds(STAT) == 1750 / os.sysconf("SC_CLK_TCK")


def test_a_machine_is_busy_while_it_neither_idles_nor_waits() -> None:
    # user, nice, system, idle, iowait, irq, softirq, steal; guest is in user already
    stat = "cpu  100 10 50 9000 500 3 2 5 40 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n"
    assert procfs.busy_of(stat) == 170 / os.sysconf("SC_CLK_TCK")


def test_a_real_process_is_read() -> None:
    before = procfs.usage(os.getpid())
    while procfs.usage(os.getpid()).cpu_seconds <= before.cpu_seconds:
        sum(range(10_000))
    assert before.resident_bytes > 5_000_000
    assert 0 < procfs.busy_seconds() < math.inf
    assert int(procfs.machine()["cores"]) >= 1


def test_memory_of_a_process_that_has_ended_is_nothing() -> None:
    assert procfs.resident_bytes("Name:\tx\nState:\tZ (zombie)\n") == 0


def event(verb: str, resource: str, *, code: int = 200, at: float = NOW, **more: object) -> str:
    name, _, subresource = resource.partition("/")
    received = f"{_stamp(at)}Z"
    return json.dumps({
        "stage": more.pop("stage", "ResponseComplete"), "verb": verb, "requestURI": f"/apis/{resource}",
        "user": {"username": more.pop("user", "system:serviceaccount:twinops-system:twinops")},
        "objectRef": {"resource": name, **({"subresource": subresource} if subresource else {})},
        "responseStatus": {"code": code}, "requestReceivedTimestamp": received, **more,
    }, separators=(",", ":"))  # fmt: skip


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def test_requests_are_those_of_the_operator_in_the_window(tmp_path: Path) -> None:
    status = {"status": {"healthScore": 100}}
    closed, current = tmp_path / "audit-1.log", tmp_path / "audit.log"
    closed.write_text(event("get", "deployments") + "\n" + event("get", "deployments", at=NOW - 5) + "\n")
    current.write_text(
        "\n".join((
            event("update", "digitaltwins/status", requestObject=status, responseObject={"kind": "DigitalTwin"}),
            event("patch", "digitaltwins/status", code=409, requestObject=status, responseObject={"kind": "Status"}),
            event("watch", "pods", stage="ResponseStarted"),
            event("watch", "pods", stage="ResponseComplete"),
            event("list", "scaledobjects", code=404),
            event("get", "deployments", user="somebody"),
            event("get", "deployments", at=NOW + 60),
            '{"stage":"ResponseComplete","user":{"username":"system:serviceaccount:twinops-system:twinops"}',
        ))
    )  # fmt: skip
    for log in (closed, current):
        os.utime(log, (NOW, NOW))
    found = audit.requests([closed, current], "system:serviceaccount:twinops-system:twinops", NOW - 1, NOW + 60)
    assert found.counts == {
        "get deployments": 1,
        "update digitaltwins/status": 1,
        "patch digitaltwins/status": 1,
        "watch pods": 1,
        "list scaledobjects": 1,
    }
    assert found.refused == 1
    assert found.status_bytes == [len('{"status":{"healthScore":100}}')]
    assert found.object_bytes == [len('{"kind":"DigitalTwin"}')]


def test_figures_are_per_sync_of_the_window() -> None:
    requests = audit.Requests(Counter({"get deployments": 100}), 0, [1000, 2000], [4000])
    steady = figures.steady(50, idle(), window(), requests)
    assert steady.syncs == {"synced": 190.0, "failed": 10.0}
    assert steady.syncs_per_second == pytest.approx(2.0)
    operator = steady.costs["operator"]
    assert (operator.ms_per_sync, operator.cores, operator.idle_cores) == pytest.approx((20.0, 0.04, 0.01))
    assert operator.net_ms_per_sync == pytest.approx(15.0)
    assert operator.syncs_per_core == pytest.approx(0.99 / 0.015)
    assert steady.prometheus_requests == pytest.approx(30 / 200)
    assert steady.prometheus_queries == pytest.approx(40 / 200)
    assert steady.api_requests == {"get deployments": 0.5}
    assert (steady.status_bytes, steady.object_bytes) == (1500, 4000)
    # 300 bytes a second, 100 of them whether there are twins or not
    assert steady.etcd_bytes_per_twin_day == pytest.approx(200 * DAY / 50)
    assert steady.status_writes == {"heartbeat": 150.0, "material": 20.0}
    assert steady.lag.most == 1.0
    assert steady.lag.p50 == pytest.approx(0.1 + 0.4 * 100 / 190)
    assert steady.loop_lag is None
    assert steady.machine_cores == pytest.approx(0.14)
    assert steady.other_cores == pytest.approx(0.07)


def test_a_process_that_was_started_again_counts_from_its_start() -> None:
    before = reading(NOW, {"operator": 10.0}, ("", "", 0))
    after = reading(NOW + 10, {"operator": 2.0}, ("", "", 0), pid=8)
    assert after.cpu_since(before) == {"operator": 2.0}


def test_a_window_without_syncs_gives_figures() -> None:
    nothing = Span(idle().before, idle().after)
    steady = figures.steady(50, idle(), nothing, audit.Requests(Counter(), 0, [], []))
    assert steady.sync_count == 0
    assert steady.lag == figures.Spread(None, None, None)
    assert steady.status_bytes is None


def test_ten_thousand_twins_are_extrapolated_on_top_of_what_is_used_idle() -> None:
    projection = project(a_run())
    assert projection.cores["operator"] == pytest.approx(0.01 + 0.015 * 10_000 / 60)
    assert projection.resident_bytes == 200_000_000


def test_the_report_has_every_row_says_what_is_extrapolated_and_repeats_the_notes() -> None:
    runs = [a_run(50, ["predicting: 49 of 50 twins after 9 s"]), a_run(100)]
    text = list(report.lines(runs, {"cores": 2}, {"etcd": "3.7.3"}))
    assert text[0] == "|  | 50 twins | 100 twins | 10,000, extrapolated from 100 | wanted at 10,000 |"
    table = [line for line in text if line.startswith("|")]
    assert len(table) == len(report.ROWS) + 2
    assert {line.count("|") for line in table} == {6}
    assert "| 4 / 8 / - s | 4 / 8 / - s |" in next(line for line in table if "first statuses" in line)
    assert "  NOTE: predicting: 49 of 50 twins after 9 s" in text
    assert any("1.00 times that with 50" in line for line in text)


def test_a_run_is_json_also_where_a_figure_is_infinite() -> None:
    found = json.loads(json.dumps(a_run().as_json(), allow_nan=False))
    assert found["steady"]["costs"]["operator"]["ms_per_sync"] == pytest.approx(20.0)
    assert found["start"]["looks"][-1]["predicting"] == 49


def test_plots_are_written(tmp_path: Path) -> None:
    paths = plots.write(tmp_path / "plots", [a_run(50), a_run(100)])
    assert {path.name for path in paths} == {"scale.png", "scale.svg", "scale-start.png", "scale-start.svg"}
    assert all(path.stat().st_size > 5000 for path in paths)


def test_history_is_cut_into_blocks_that_follow_each_other() -> None:
    past = Past(1000, 100, DAY)
    found = windows(past, NOW)
    length = found[0].hours * 3600
    assert {window.begin % length for window in found} == {0}
    assert {later.begin - earlier.begin for earlier, later in pairwise(found)} == {length}
    assert found[0].begin <= NOW - 7 * DAY < found[0].begin + length
    assert found[-1].begin <= NOW < found[-1].begin + length
    assert windows(Past(1, 0, 0), NOW)[0].hours == 18
    assert windows(Past(10_000, 0, DAY), NOW)[0].hours == 2


def test_each_workload_has_as_much_history_as_it_should() -> None:
    past = Past(3, 1, 4 * 3600.0)
    counts: Counter[str] = Counter()
    written = 0
    for each in windows(past, NOW):
        file = io.StringIO()
        written += write(file, past, each, NOW)
        assert file.getvalue().endswith("# EOF\n")
        lines = [line for line in file.getvalue().splitlines() if line.startswith("app_open_connections")]
        counts.update(line.rpartition(" ")[0].rpartition(" ")[0] for line in lines)
    assert written == len(COLUMNS) * counts.total()
    assert len(counts) == 3 * len(PODS)
    of_pods = sorted(counts.values())
    assert of_pods == [4 * 60] * 2 * len(PODS) + [7 * 24 * 60] * len(PODS)


def test_exporter_and_history_have_the_same_series() -> None:
    file = io.StringIO()
    past = Past(2, 0, 600.0)
    write(file, past, windows(past, NOW)[-1], NOW)
    old = {line.split(" ")[0] for line in file.getvalue().splitlines() if not line.startswith("#")}
    series = Series(2, NOW)
    first, second = series.text(NOW + STEP), series.text(NOW + 2 * STEP)
    assert {line.rpartition(" ")[0] for line in first.splitlines()} == old
    before, after = (exposition.parse(text, ("http_requests_total",)).values for text in (first, second))
    assert all(after[key] > before[key] > 0 for key in before)


def test_options_come_from_the_environment() -> None:
    found = options.read({"N": "1000 3000", "INTERVAL": "30", "WEEK": "50", "OPERATOR_ENV": "A=1 B=x=y"})
    assert (found.sizes, found.interval, found.window, found.week_share) == ((1000, 3000), 30, 60, 0.5)
    assert found.operator_environment == {"A": "1", "B": "x=y"}
    assert options.read({}) == options.Options()


@pytest.mark.parametrize(
    "environment", [{"N": "many"}, {"N": "0"}, {"WINDOW": "60"}, {"INTERVAL": "x"}, {"OPERATOR_ENV": "A"}]
)
def test_an_option_that_cannot_be_used_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(OptionError):
        options.read(environment)
