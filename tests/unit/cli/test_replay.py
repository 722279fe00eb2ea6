"""``twinops replay`` as a person runs it: what comes out, and what is refused."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.http_server import serve
from support.history import waves, write_csv
from twinops.cli.main import main
from twinops.cli.replay import add_command
from twinops.errors import InputError
from twinops.replay import files
from twinops.replay.durations import parse_duration, short

EVIL = "<script>alert(1)</script> $\\frac{1}{0}$ [red]"

TWIN = """
apiVersion: v1
kind: ConfigMap
---
apiVersion: twinops.dev/v1alpha1
kind: DigitalTwin
metadata: {name: checkout}
spec:
  source: {systemType: WebService, targetRef: {name: checkout}}
  syncFrequencySeconds: 900
  expectedState: {metrics: {cpuUsage: 50}}
  limits: {cpuUsage: 95, latencyMs: 400}
  predictions: {horizonsSeconds: [1800, 7200]}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        status = main(["replay", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def history(tmp_path: Path) -> Path:
    recording = waves(260, names=("cpuUsage", EVIL))
    recording.values[1, 40:44] = np.nan
    return write_csv(recording, tmp_path / "history.csv")


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


def test_table_for_people(run: Run, history: Path) -> None:
    status, out, err = run("--csv", history, "--limit", "cpuUsage=80")

    assert (status, err) == (0, "")
    assert "\x1b" not in out, "no colours in a pipe"
    for words in ("cpuUsage", "MASE", "WIS", "/ naive", "/ seasonal", "/ Theta", "15m", "30m", "1h", "missed"):
        assert words in out
    assert "Limits: cpuUsage 80%" in out
    assert EVIL in re.sub(r"\s+", " ", out), "nothing in a name is markup"
    last = out.strip().splitlines()
    assert any(line.startswith("Forecasts ") and "naive by" in line for line in last)


def test_narrow_terminal_has_no_line_that_is_too_long(run: Run, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")

    _, out, _ = run("--csv", history, "--metric", "cpuUsage")

    assert max(len(line.rstrip()) for line in out.splitlines()) <= 50
    assert "15m: MASE" in out


def test_twenty_columns(run: Run, tmp_path: Path) -> None:
    names = [f"metric{k}" for k in range(20)]
    file = write_csv(waves(120, names=names), tmp_path / "wide.csv")

    status, out, _ = run("--csv", file, "--plot", "wide.png")

    assert status == 0
    assert all(name in out for name in names)
    assert (tmp_path / "wide.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_everything_and_only_finite_numbers(run: Run, history: Path) -> None:
    status, out, _ = run("--csv", history, "--json", "--limit", "cpuUsage=80", "--expected", "cpuUsage=50")

    assert status == 0
    found = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert all(math.isfinite(one) for one in numbers(found))
    assert (found["rows"], found["stepSeconds"], found["horizonsSeconds"]) == (260, 900, [900, 1800, 3600])
    cpu = found["metrics"]["cpuUsage"]
    assert (cpu["limit"], cpu["limitFrom"], cpu["expected"]) == (80, "given", 50)
    assert found["metrics"][EVIL]["limitFrom"] == "learned"
    for one in cpu["forecasts"].values():
        assert {"origins", "mase", "wis", "coverage90", "width90", "relative", "peers"} == set(one)
        assert set(one["relative"]) == set(one["peers"]) == {"naive", "seasonalNaive", "theta"}
    points = found["points"]
    assert len(points["time"]) == len(points["metrics"][EVIL]["value"]) == 260
    assert points["metrics"][EVIL]["value"][40:44] == [None] * 4
    assert found["drift"]["alerts"], "a daily wave leaves 40..60 every day"
    alert = found["drift"]["alerts"][0]
    assert alert["component"] == "cpuUsage"
    assert {"since", "until", "expected", "actual", "deviationPercent", "severity"} <= set(alert)


def test_json_in_a_file_beside_the_table(run: Run, history: Path, tmp_path: Path) -> None:
    _, out, _ = run("--csv", history, "--json", "out.json")

    assert "MASE" in out
    assert json.loads((tmp_path / "out.json").read_text())["rows"] == 260


def test_too_short_to_tell_says_so(run: Run, tmp_path: Path) -> None:
    file = write_csv(waves(8), tmp_path / "short.csv")

    status, out, _ = run("--csv", file)
    _, printed, _ = run("--csv", file, "--json")

    assert status == 0
    assert "Too little to tell" in out
    found = json.loads(printed)
    assert found["verdict"]["trusted"] is None
    assert found["metrics"]["load"]["forecasts"]["900"]["wis"] is None


def test_twin_manifest_gives_limits_expected_values_and_horizons(run: Run, history: Path, tmp_path: Path) -> None:
    (tmp_path / "twin.yaml").write_text(TWIN)

    _, out, _ = run("--csv", history, "-f", "twin.yaml", "--json")

    found = json.loads(out)
    assert found["horizonsSeconds"] == [1800, 7200]
    assert found["metrics"]["cpuUsage"]["limit"] == 95
    assert found["metrics"]["cpuUsage"]["expected"] == 50
    assert found["metrics"][EVIL]["limit"] is None
    assert found["notes"] == ["the twin speaks of latencyMs, and nothing of that is recorded"]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_escapes_what_comes_from_the_file_and_loads_nothing(run: Run, history: Path, tmp_path: Path) -> None:
    run("--csv", history, "--plot", "out.html")

    page = _Page()
    content = (tmp_path / "out.html").read_text()
    page.feed(content)
    assert "script" not in page.tags
    assert "<script" not in content
    assert "svg" in page.tags
    assert EVIL in re.sub(r"\s+", " ", page.text)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "default-src 'none'" in content


def test_pictures(run: Run, history: Path, tmp_path: Path) -> None:
    run("--csv", history, "--plot", "out.svg", "--plot", "out.PNG")

    root = ET.fromstring((tmp_path / "out.svg").read_bytes())  # noqa: S314 - our own picture
    assert root.tag.endswith("svg")
    assert (tmp_path / "out.PNG").stat().st_size > 10_000


def test_missing_matplotlib_is_told_before_the_work(run: Run, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinops.replay.plots.find_spec", lambda _: None)

    status, out, err = run("--csv", history, "--plot", "out.png")

    assert (status, out) == (2, "")
    assert "pip install 'twinops[plot]'" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param([], "give either --csv FILE, or --prometheus URL", id="nothing"),
        pytest.param(["--csv", "no.csv"], "no.csv: there is no such file", id="no such file"),
        pytest.param(["--csv", "."], "is a directory", id="directory"),
        pytest.param(["--csv", "h.csv", "--prometheus", "http://x"], "give either", id="two sources"),
        pytest.param(["--csv", "h.csv", "--range", "7d"], "--range goes with --prometheus", id="range of a file"),
        pytest.param(["--csv", "h.csv", "--step", "soon"], "--step 'soon' is not a span of time", id="step"),
        pytest.param(["--csv", "h.csv", "--horizons", "15m,x"], "--horizons 'x' is not a span", id="horizons"),
        pytest.param(["--csv", "h.csv", "--limit", "cpu"], "write METRIC=VALUE", id="limit without value"),
        pytest.param(["--csv", "h.csv", "--limit", "x=1"], "no such metric; recorded are load", id="unknown metric"),
        pytest.param(["--csv", "h.csv", "--limit", "load=1", "--limit", "load=2"], "given twice", id="twice"),
        pytest.param(["--csv", "h.csv", "--metric", "x"], "has no column 'x'", id="unknown column"),
        pytest.param(["--csv", "h.csv", "--plot", "a.pdf"], "must end with one of .png, .svg, .html", id="form"),
        pytest.param(["--csv", "h.csv", "--plot", "no/a.png"], "there is no directory no", id="no directory"),
        pytest.param(["--csv", "h.csv", "--json", "."], "is a directory: name a file", id="JSON directory"),
        pytest.param(["--csv", "h.csv", "--json", "h.csv"], "is the file that is read", id="over the source"),
        pytest.param(["--csv", "h.csv", "-f", "no.yaml"], "no.yaml cannot be read", id="no manifest"),
        pytest.param(["--csv", "h.csv", "-f", "h.csv"], "holds no DigitalTwin", id="no twin in it"),
        pytest.param(["--csv", "h.csv", "-f", "bad.yaml"], "bad.yaml: line 1, column", id="not YAML"),
        pytest.param(["--csv", "h.csv", "-f", "wrong.yaml"], "spec.source", id="not a twin"),
        pytest.param(["--prometheus", "http://x"], "needs either --query NAME=PROMQL or --twin NAME", id="no query"),
        pytest.param(["--prometheus", "ftp://x", "--query", "up"], "--prometheus: ", id="not a URL"),
        pytest.param(["--prometheus", "http://x", "--query", "a=up", "--query", "a=up"], "given twice", id="same name"),
        pytest.param(
            ["--prometheus", "http://x", "--query", "up", "--header", "a b=c"], "write NAME=VALUE", id="header"
        ),
        pytest.param(["--prometheus", "http://x", "--query", "up", "--until", "now"], "--until 'now'", id="until"),
        pytest.param(["--prometheus", "http://x", "--query", "up", "--token-file", "no"], "cannot be read", id="token"),
        pytest.param(
            ["--prometheus", "http://x", "--query", "up", "--range", "5w", "--step", "5s"], "rows; 2 to", id="too many"
        ),
        pytest.param(["--prometheus", "http://127.0.0.1:9", "--query", "up"], "no connection", id="nobody there"),
    ],
)
def test_refuses_with_a_message_and_writes_nothing(run: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    write_csv(waves(20), tmp_path / "h.csv")
    (tmp_path / "bad.yaml").write_text("{a: [")
    (tmp_path / "wrong.yaml").write_text("kind: DigitalTwin\nspec: {source: {systemType: Nothing}}\n")
    before = sorted(tmp_path.iterdir())

    status, out, err = run(*arguments)

    assert (status, out) == (2, "")
    assert err.startswith("twinops: ")
    assert told in err
    assert sorted(tmp_path.iterdir()) == before


def test_what_stood_there_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out.json"
    file.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        files.write_whole(file, b"after")

    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_files_are_written_whole_and_keep_their_rights(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.write_text("before")
    file.chmod(0o640)

    files.write_whole(file, b"after")

    assert file.read_text() == "after"
    assert file.stat().st_mode & 0o777 == 0o640


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        files.write_whole(tmp_path / "new", b"x")
    finally:
        os.umask(before)

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644


def test_a_device_is_written_to(run: Run, history: Path) -> None:
    status, _, _ = run("--csv", history, "--json", "/dev/null", "--metric", "cpuUsage")

    assert status == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("options", [pytest.param(["--json"], id="JSON"), pytest.param([], id="table")])
def test_a_reader_that_has_seen_enough_is_no_error(history: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "twinops.cli.main", "replay", "--csv", str(history), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:  # noqa: S603 - ours
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("30s", 30, id="seconds"),
        pytest.param("1h30m", 5400, id="two units"),
        pytest.param(" 7D ", 604_800, id="days"),
        pytest.param("", None, id="empty"),
        pytest.param("5", None, id="no unit"),
        pytest.param("0m", None, id="zero"),
        pytest.param("-5m", None, id="negative"),
        pytest.param("99999999w", None, id="too long"),
        pytest.param("9" * 5000 + "s", None, id="no number that can be read"),
    ],
)
def test_spans_of_time(text: str, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(InputError, match="not a span of time"):
            parse_duration(text, "--step")
    else:
        assert parse_duration(text, "--step") == seconds


def test_spans_are_told_briefly() -> None:
    assert [short(s) for s in (30, 90, 900, 5400, 86_400)] == ["30s", "90s", "15m", "90m", "1d"]


def test_printing_crds_loads_neither_numpy_plots_nor_clients() -> None:
    code = (
        "import sys, twinops.cli.main as m; m.main(['crds']);"
        "print([n for n in ('rich', 'matplotlib', 'kubernetes', 'requests') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert done.stderr.strip() == "[]"


DOCS = (Path(__file__).parents[3] / "docs" / "replay.md").read_text()


def test_every_option_is_documented() -> None:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    [commands] = parser._subparsers._group_actions  # type: ignore[union-attr]  # argparse tells it nowhere else
    options = {name for name in commands.choices["replay"]._option_string_actions if name.startswith("--")}  # type: ignore[index]

    assert {
        name for name in options - {"--help", "--file", "--namespace"} if f"`{name}" not in DOCS and name not in DOCS
    } == set()


def test_every_key_is_documented(run: Run, history: Path) -> None:
    def keys(value: Any) -> Iterator[str]:
        for key, one in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            if isinstance(key, str) and not key.isdecimal() and key not in {"cpuUsage", EVIL}:
                yield key
            yield from keys(one)

    _, out, _ = run("--csv", history, "--json", "--limit", "cpuUsage=75", "--expected", "cpuUsage=50")
    table = DOCS[DOCS.index("| key |") :]

    assert {key for key in keys(json.loads(out)) if not re.search(rf"\b{key}\b", table)} == set()


PART = '{"status": "success", "warnings": ["store 10.0.0.7 is away"], "data": {"resultType": "matrix", "result": []}}'


def test_part_of_a_past_is_not_replayed(run: Run, tmp_path: Path) -> None:
    with serve(lambda request: request.answer(200, PART)) as server:
        status, out, err = run("--prometheus", server.url, "--query", "load=sum(load)")

    assert (status, out) == (2, "")
    assert "only a part of what was recorded for load came back" in err
    # Whose store it is, and where, is nothing for a terminal.
    assert "10.0.0.7" not in err
    assert not list(tmp_path.iterdir())


def test_horizons_between_two_rows_are_of_the_time_that_is_named(run: Run, tmp_path: Path) -> None:
    rows = [f"2024-03-{4 + k // 144:02}T{k // 6 % 24:02}:{k % 6}0:00Z,{k}" for k in range(432)]
    (tmp_path / "ramp.csv").write_text("\n".join(["time,x", *rows]))

    status, out, err = run("--csv", "ramp.csv", "--horizons", "10m,15m,20m,25m", "--json")

    assert (status, err) == (0, "")
    found = json.loads(out)
    ahead = found["points"]["metrics"]["x"]["forecasts"]
    ten, fifteen, twenty, later = (
        np.array(ahead[name]["median"], dtype=float) for name in ("600", "900", "1200", "1500")
    )
    known = np.isfinite(fifteen)
    assert known.sum() > 300
    assert fifteen[known] == pytest.approx((ten + twenty)[known] / 2, rel=1e-5)
    assert (later > twenty)[-100:].all()
    x = np.arange(432.0)
    assert (fifteen - x)[-100:] == pytest.approx(1.5, abs=0.05)
    scores = [found["metrics"]["x"]["forecasts"][name]["wis"] for name in ("600", "900", "1200")]
    assert len(set(scores)) == 3
