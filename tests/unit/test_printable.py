"""What other people wrote, at every exit: status, Events, logs, the command line, tables, pages."""

from __future__ import annotations

import io
import json
import logging
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fakes.clock import START
from support.history import waves, write_csv
from twinops import logs
from twinops.adapters.kubernetes import events
from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.cli.main import main
from twinops.core.text import shorten
from twinops.printable import UNPRINTABLE, printable, printable_lines

EVIL = "\x1b]0;pwned\x07\x9b2J\u202eevil\u200b\ufeff\ud800\x00\u2066"
"""Sets a terminal's title, clears it, turns letters around, hides some; half a pair, and the end of a C string."""


def harmless(text: str) -> bool:
    """Tell whether nothing in a text steers what it is shown on, line breaks aside."""
    return all(unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in text.replace("\n", ""))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("sum(rate(a[5m])) / 2", "sum(rate(a[5m])) / 2", id="plain"),
        pytest.param("größer als 5 µs, 東京 😀", "größer als 5 µs, 東京 😀", id="letters of any language"),
        pytest.param("\x1b[31mred", f"{UNPRINTABLE}[31mred", id="escape"),
        pytest.param("\x9b31m", f"{UNPRINTABLE}31m", id="escape of eight bits"),
        pytest.param("a\u202eb\u2066c", f"a{UNPRINTABLE}b{UNPRINTABLE}c", id="direction"),
        pytest.param("a\u200bb\u00adc", f"a{UNPRINTABLE}b{UNPRINTABLE}c", id="no width"),
        pytest.param("a\ud800b", f"a{UNPRINTABLE}b", id="half a pair"),
        pytest.param("a\r\nb\tc\u2028d\u00a0e", "a  b c d e", id="blanks"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_texts_are_cut() -> None:
    assert printable("x" * 20, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10
    assert printable_lines("a\n\x1b\nb") == f"a\n{UNPRINTABLE}\nb"
    cut = printable_lines("begin" + "\n" * 10_000 + "end", 100)
    assert (cut[:5], cut[-3:]) == ("begin", "end")
    assert len(cut) < 200


def test_status_is_printable_and_never_too_long() -> None:
    metric = ObservedMetric(name="a", quality=Quality.ERROR, unit=EVIL, message=EVIL + "x" * 5000, query=EVIL)
    condition = Condition(
        type="Ready", status=ConditionStatus.TRUE, reason="A", message=EVIL * 500, last_transition_time=utc(START)
    )

    assert harmless(metric.unit + metric.message + metric.query + condition.message)
    assert len(metric.message) == 1024
    assert len(condition.message) == 1024
    # What comes back from the API server is what was sent: nothing has changed.
    assert ObservedMetric.from_wire(metric.to_wire()) == metric


def test_events_and_messages_are_printable() -> None:
    assert harmless(events.shorten(EVIL * 500))
    assert len(events.shorten(EVIL * 500)) == events.MESSAGE_LENGTH
    assert harmless(shorten(EVIL))


@pytest.mark.parametrize("form", ["json", "console"])
def test_log_lines_are_printable(log: io.StringIO, form: str) -> None:
    logs.configure("info", form, stream=log)
    structlog.get_logger("x").warning("could not " + EVIL, query=EVIL, listed=[EVIL], nested={"a": EVIL})
    logging.getLogger("library").warning("%s", EVIL, extra={"what": EVIL})
    try:
        int(EVIL)
    except ValueError:
        structlog.get_logger("x").exception("crashed")

    text = log.getvalue()
    assert harmless(text)
    assert "pwned" in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_log_lines_are_bounded(log: io.StringIO, form: str) -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise RecursionError("x" * 100_000)

    too_deep: list[object] = []
    for _ in range(100_000):
        too_deep = [too_deep]
    logs.configure("info", form, stream=log)
    try:
        deep(500)
    except RecursionError:
        structlog.get_logger("x").exception("crashed " + "x" * 100_000, query="y" * 100_000, nested={"a": too_deep})

    text = log.getvalue()
    assert len(text) < 2 * (logs.LONGEST_TRACEBACK + 3 * logs.LONGEST_VALUE)
    assert "deep(levels - 1)" in text
    assert "cannot be shown" in text
    # Where lists and dicts are deeper than the stack, their destruction is not: Python does that in steps.
    if form == "json":
        assert "RecursionError" in json.loads(text)["exception"]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["replay", "--csv", f"{EVIL[:9]}.csv"], id="no such file"),
        pytest.param(["replay", "--csv", "a.csv", "--limit", EVIL[:9]], id="an option's value"),
        pytest.param(["replay", "--csv", "a.csv", EVIL[:9]], id="an argument too many"),
        pytest.param(["replay", f"--{EVIL[:9]}"], id="no such option"),
        pytest.param([EVIL[:9]], id="no such command"),
        pytest.param(["replay", "--csv", "a.csv", "--plot", f"{EVIL[:9]}"], id="a file to write"),
    ],
)
def test_errors_of_the_command_line_are_printable(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(waves(30, names=("a",)), tmp_path / "a.csv")
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(str(end.code))
    told = capsys.readouterr()

    assert status == 2
    assert told.err
    assert harmless(told.err + told.out)


def test_nothing_in_a_file_reaches_the_terminal_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Bytes that are no UTF-8 come as halves of pairs.
    name = os.fsdecode(b"\x1b]0;pwned\x07\xff[bold].csv")
    write_csv(waves(260, names=("a", "[bold]" + EVIL[:12])), tmp_path / "plain.csv").rename(tmp_path / name)
    (tmp_path / "twin.yaml").write_text(
        "kind: DigitalTwin\nspec:\n  source:\n    systemType: Custom\n"
        '    metrics: [{name: a, query: up, unit: "\\e[31m"}]\n'
        "  expectedState: {metrics: {a: 50}}\n  limits: {a: 60}\n",
        encoding="utf-8",
    )
    status = main(
        ["replay", "--csv", name, "-f", "twin.yaml", "--plot", "a.html", "--plot", "a.svg", "--json", "a.json"]
    )
    told = capsys.readouterr()

    assert status == 0, told.err
    assert "[bold]" in told.out
    for text in (told.out, told.err, *((tmp_path / f"a.{form}").read_text("utf-8") for form in ("html", "svg"))):
        assert harmless(text)
    assert harmless(json.loads((tmp_path / "a.json").read_text("utf-8"))["source"])


MANIFESTS = {
    "brackets": "spec: " + "[" * 3000,
    "braces": "{" * 3000,
    "a bool that is none": "a: !!bool x",
    "a number that is none": "a: !!int ''",
    "a time that is none": "a: !!timestamp x",
    "a day that is none": "a: 2026-13-45",
    "a digit too many": "a: " + "9" * 5000,
    "itself": "kind: DigitalTwin\nspec: &a {source: *a}",
    "a list of itself": "kind: DigitalTwin\nspec: &a [*a]",
    "laughs": "kind: DigitalTwin\nspec:\n  labels: &a {x: 1}\n  source: &b [*a, *a]\n  limits: [*b, *b]\n",
    "an escape": 'kind: DigitalTwin\nspec: {"\\e[31m": {}, source: {systemType: "\\e[31m"}}',
    "text": "\x1b[31m",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_no_manifest_ends_in_a_traceback(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(waves(30, names=("a",)), tmp_path / "a.csv")
    (tmp_path / "twin.yaml").write_text(MANIFESTS[name], encoding="utf-8")

    status = main(["replay", "--csv", "a.csv", "-f", "twin.yaml"])
    told = capsys.readouterr()

    assert status == 2
    assert "twin.yaml" in told.err
    assert harmless(told.err)
    assert len(told.err) < 1000


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless file here")
@pytest.mark.parametrize("options", [["--csv", "/dev/zero"], ["--csv", "a.csv", "-f", "/dev/zero"]])
def test_endless_files_are_refused(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(waves(30, names=("a",)), tmp_path / "a.csv")

    assert main(["replay", *options]) == 2
    assert "/dev/zero" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[" * 3000, "clusters: 5", "a: !!bool x", "\x00", "users: [5]\ncontexts: {}"])
def test_no_kubeconfig_ends_in_a_traceback(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kubeconfig").write_text(text, encoding="utf-8")

    options = ["--twin", "a", "--prometheus", "http://127.0.0.1:9", "--kubeconfig", "kubeconfig"]
    assert main(["replay", *options]) == 2
    assert harmless(capsys.readouterr().err)
