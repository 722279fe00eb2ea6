"""Runs ``twinops replay``: reads recorded history, replays it, and writes the report."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from twinops import logs
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.errors import InputError
from twinops.replay.csv_file import parse_time, read_csv
from twinops.replay.durations import parse_duration
from twinops.replay.files import STDOUT, check_writable, write_whole
from twinops.replay.html_page import html_page
from twinops.replay.plots import FORMATS, check_available, draw
from twinops.replay.recording import Recording, on_grid, usual_step
from twinops.replay.report import Report, replay, to_json
from twinops.replay.spec import ReplayOptions, metric_value, read_manifest, replay_spec
from twinops.replay.tables import print_report

_PIPE_WIDTH = 100
_ENDINGS = ", ".join(f".{form}" for form in FORMATS)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        TwinOpsError: what was given cannot be used, or Prometheus or the cluster did not answer.
    """
    logs.configure("warning", "console")
    _check_outputs(arguments)
    recording, twin = _read(arguments)
    options = ReplayOptions(
        twin=twin,
        limits=dict(_metric_values(arguments.limit, "--limit")),
        expected=dict(_metric_values(arguments.expected, "--expected")),
        horizons=_horizons(arguments.horizons),
    )
    spec = replay_spec(options, recording.names, recording.step, replicas=recording.replicas is not None)
    with _progress() as bar:
        report = replay(recording, spec, progress=bar("replaying", "rows"), scoring=bar("scoring peers", "metrics"))
    _write(report, arguments)
    return 0


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Check all outputs before the replay, which may take minutes."""
    outputs: list[tuple[Path, str]] = [(path, "--plot") for path in arguments.plot]
    for path in arguments.plot:
        if path.suffix.lower().removeprefix(".") not in FORMATS:
            raise InputError(f"--plot {path}: the name must end with one of {_ENDINGS}")
    if arguments.plot:
        check_available()
    if arguments.json not in {None, STDOUT}:
        outputs.append((Path(arguments.json), "--json"))
    for path, option in outputs:
        check_writable(path, option)
        for source in (arguments.csv, arguments.file):
            if source is not None and path.exists() and source.exists() and path.samefile(source):
                raise InputError(f"{option} {path} is the file that is read: name another one")


def _read(arguments: argparse.Namespace) -> tuple[Recording, DigitalTwinSpec | None]:
    """Return the recording, and the spec of the twin where one was given."""
    step = None if arguments.step is None else parse_duration(arguments.step, "--step")
    twin = None if arguments.file is None else read_manifest(arguments.file)
    _check_source(arguments)
    if arguments.csv is not None:
        rows = read_csv(arguments.csv, arguments.metric)
        if step is None and twin is not None and len(rows.times) > 1:
            # The twin's own sync interval, unless the file is coarser.
            step = max(twin.sync_frequency_seconds, round(usual_step(rows.times)))
        return on_grid(rows, step), twin
    # Imported here: the clients of Prometheus and Kubernetes take most of a second to load.
    from twinops.cli.replay_prometheus import Access, read_queries, read_twin  # noqa: PLC0415

    access = Access(
        url=arguments.prometheus,
        headers=arguments.header,
        token_file=arguments.token_file,
        ca_file=arguments.ca_file,
        until=_until(arguments.until),
        seconds=parse_duration(arguments.range or "7d", "--range"),
        step=step,
    )
    with _working("reading from Prometheus"):
        if arguments.twin is None:
            return asyncio.run(read_queries(access, arguments.query)), twin
        twin_at = (arguments.namespace, arguments.twin, arguments.kubeconfig, arguments.context)
        return asyncio.run(read_twin(access, *twin_at, wanted=arguments.metric))


def _check_source(arguments: argparse.Namespace) -> None:
    if (arguments.csv is None) == (arguments.prometheus is None):
        raise InputError("give either --csv FILE, or --prometheus URL with --query or --twin")
    if arguments.csv is not None:
        for option in ("query", "twin", "range", "until", "header", "token_file", "ca_file"):
            if getattr(arguments, option):
                raise InputError(f"--{option.replace('_', '-')} goes with --prometheus, not with --csv")
        return
    if arguments.query and arguments.metric:
        raise InputError("--metric chooses among what a file or a twin has; leave out the --query instead")
    if bool(arguments.query) == (arguments.twin is not None):
        raise InputError("--prometheus needs either --query NAME=PROMQL or --twin NAME")
    if arguments.twin is not None and arguments.file is not None:
        raise InputError("--twin reads the twin from the cluster, -f from a file: give one of them")


def _until(text: str | None) -> float:
    if text is None:
        return time.time()
    found = parse_time(text)
    if found is None:
        raise InputError(f"--until {text!r} is no time: write for example 2026-05-01T12:00:00Z")
    return found


def _horizons(text: str | None) -> list[int] | None:
    return None if text is None else [parse_duration(part, "--horizons") for part in text.split(",")]


def _metric_values(texts: Sequence[str], option: str) -> Iterator[tuple[str, float]]:
    seen = set()
    for text in texts:
        name, value = metric_value(text, option)
        if name in seen:
            raise InputError(f"{option} {name} is given twice")
        seen.add(name)
        yield name, value


def _write(report: Report, arguments: argparse.Namespace) -> None:
    for path in arguments.plot:
        form = path.suffix.lower().removeprefix(".")
        write_whole(path, html_page(report) if form == "html" else draw(report, form))
    if arguments.json not in {None, STDOUT}:
        write_whole(Path(arguments.json), to_json(report).encode())
    try:
        _print(report, as_json=arguments.json == STDOUT)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe. Without this Python would raise again when it flushes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(to_json(report))
        return
    terminal = sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else _PIPE_WIDTH
    print_report(report, Console(width=width, highlight=False, no_color=None if terminal else True))


def _console() -> Console:
    return Console(stderr=True, highlight=False)


@contextmanager
def _working(words: str) -> Iterator[None]:
    """Show a spinner while the block runs, on a terminal only."""
    console = _console()
    if not console.is_terminal:
        yield
        return
    with console.status(words):
        yield


@contextmanager
def _progress() -> Iterator[Callable[[str, str], Callable[[int, int], None]]]:
    """Show progress bars on standard error, on a terminal only."""
    console = _console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def bar(words: str, unit: str) -> Callable[[int, int], None]:
            task = bars.add_task(f"{words} ({unit})", total=None, visible=False)
            return lambda done, total: bars.update(task, completed=done, total=total, visible=True)

        yield bar
