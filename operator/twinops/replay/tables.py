"""The report as text: tables for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from twinops.api.base import utc
from twinops.metric_definitions import definition
from twinops.printable import printable_lines
from twinops.replay.durations import short
from twinops.replay.report import Report
from twinops.replay.scores import PEER_WORDS, PEERS, HorizonScore

MOST_LISTED = 10
"""Bound of incidents and alerts that are listed; --json contains all of them."""

_NARROW = 76
_NONE = "-"
_GOOD, _BAD = 0.95, 1.02
_COVERED = (0.85, 0.95)


def print_report(report: Report, console: Console) -> None:
    """Print the report. Names are printed literally, never as rich markup."""
    for part in _parts(report, console.width):
        console.print(part)
        console.print()
    for sentence in report.verdict.sentences:
        console.print(_text(sentence, style="bold"))


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    recording, replayed = report.recording, report.replayed
    begin = min(replayed.begin, len(recording.times) - 1)
    yield _text(
        f"{recording.origin}: {len(recording.times)} rows {short(recording.step)} apart, "
        f"{_moment(recording.times[0])} to {_moment(recording.times[-1])} UTC; "
        f"scored from {_moment(recording.times[begin])} on"
    )
    for note in report.notes:
        yield _text(f"Note: {note}", style="yellow")
    yield _forecasts(report) if width >= _NARROW else _forecasts_narrow(report)
    if any(report.limit(k) is not None for k in range(len(recording.names))):
        yield _limits(report)
        yield _risks(report)
        if report.risks.incidents or report.risks.onsets:
            yield _events(report)
    yield _drift(report)


def _text(text: str, style: str = "") -> Text:
    """Return a literal text: no markup, no control characters."""
    return Text(printable_lines(text), style=style)


def _moment(unix: float) -> str:
    return utc(float(unix)).strftime("%Y-%m-%d %H:%M")


def _table(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=_text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns:
        table.add_column(
            _text(name), justify="right" if justify == "right" else "left", overflow="fold", no_wrap=justify == "right"
        )
    return table


def _forecasts(report: Report) -> Table:
    table = _table(
        "Forecasts (error of ours / error of theirs: below 1 is better)",
        [
            ("metric", "left"), ("ahead", "right"), ("MASE", "right"), ("WIS", "right"), ("in 90 %", "right"),
            *((f"/ {PEER_WORDS[peer].replace('seasonal naive', 'seasonal')}", "right") for peer in PEERS),
        ],
    )  # fmt: skip
    for name, row in zip(report.recording.names, report.scores.table, strict=True):
        for h, (seconds, one) in enumerate(zip(report.replayed.horizons_seconds, row, strict=True)):
            table.add_row(_text("" if h else name), _text(short(seconds)), *_cells(one))
    return table


def _cells(one: HorizonScore) -> list[Text]:
    if one.ours is None:
        return [_text(_NONE)] * (3 + len(PEERS))
    mase = _NONE if one.ours.mase is None else f"{one.ours.mase:.2f}"
    covered = one.ours.coverage
    style = "" if _COVERED[0] <= covered <= _COVERED[1] else "red"
    return [
        _text(mase),
        _text(_figure(one.ours.wis)),
        _text(f"{100 * covered:.1f}", style=style),
        *(_relative(one.relative[peer]) for peer in PEERS),
    ]


def _relative(ratio: float) -> Text:
    return _text(f"{ratio:.2f}", style="green" if ratio < _GOOD else "red" if ratio > _BAD else "")


def _forecasts_narrow(report: Report) -> Text:
    lines = ["Forecasts (ours / theirs: below 1 is better)"]
    for name, row in zip(report.recording.names, report.scores.table, strict=True):
        lines.append(name)
        for seconds, one in zip(report.replayed.horizons_seconds, row, strict=True):
            if one.ours is None:
                lines.append(f"  {short(seconds)}: too few to score")
                continue
            ratios = ", ".join(f"{one.relative[peer]:.2f} {PEER_WORDS[peer]}" for peer in PEERS)
            mase = _NONE if one.ours.mase is None else f"{one.ours.mase:.2f}"
            lines.append(
                f"  {short(seconds)}: MASE {mase}, WIS {_figure(one.ours.wis)}, "
                f"{100 * one.ours.coverage:.0f} % covered; / {ratios}"
            )
    return _text("\n".join(lines))


def _limits(report: Report) -> Text:
    shown = []
    for k, name in enumerate(report.recording.names):
        limit = report.limit(k)
        if limit is not None:
            learned = " (95th percentile of the beginning)" if name in report.learned_limits else ""
            shown.append(f"{name} {definition(name).show(limit)}{learned}")
    return _text("Limits: " + ", ".join(shown))


def _risks(report: Report) -> Table:
    risks = report.risks
    table = _table("Risks", [("", "left"), ("", "right")])
    table.show_header = False
    lead = _NONE if risks.lead_seconds is None else f"{risks.lead_seconds / 60:.0f} min"
    precision = _NONE if risks.precision is None else f"{100 * risks.precision:.0f} %"
    quiet = _NONE if risks.quiet_alarm_share is None else f"{100 * risks.quiet_alarm_share:.1f} %"
    for word, figure in (
        ("times a limit was crossed after an hour within", str(len(risks.onsets))),
        ("of these warned of", str(len(risks.onsets) - risks.misses)),
        ("missed", str(risks.misses)),
        ("median lead time", lead),
        ("incidents raised while within limits", str(len(risks.judged))),
        ("of these came true", str(risks.hits)),
        ("precision", precision),
        ("quiet time under a warning", quiet),
    ):
        table.add_row(_text(word), _text(figure))
    return table


def _events(report: Report) -> Table:
    risks, times = report.risks, report.recording.times
    lines: list[tuple[int, str, str, str]] = []
    for one in risks.incidents:
        if one.onset is not None:
            lead = (times[one.onset] - times[one.first]) / 60
            outcome = f"hit: crossed {lead:.0f} min later"
        elif not one.calm:
            outcome = "began beyond a limit: not counted"
        else:
            outcome = "the recording ends before it can be told" if one.open else "false alarm"
        lines.append((one.first, "warning", ", ".join(one.metrics), outcome))
    lines += [(one.row, "crossing", ", ".join(one.metrics), "missed") for one in risks.onsets if one.warned is None]
    table = _table(_last(len(lines), "Warnings and missed crossings"), [(w, "left") for w in ("time", "", "of", "")])
    for row, kind, metrics, outcome in sorted(lines)[-MOST_LISTED:]:
        table.add_row(_text(_moment(times[row])), _text(kind), _text(metrics), _text(outcome))
    return table


def _drift(report: Report) -> RenderableType:
    alerts, times = report.replayed.alerts, report.recording.times
    if not alerts:
        return _text("Drift: no alert would have been raised.")
    columns = [(word, "left") for word in ("of", "since", "until", "was", "expected", "severity")]
    table = _table(_last(len(alerts), "Drift alerts"), columns)
    for one in alerts[-MOST_LISTED:]:
        percent = "" if one.percent is None else f" ({one.percent:+.0f} %)"
        table.add_row(
            _text(one.component),
            _text(_moment(one.since)),
            _text("still" if one.until is None else _moment(times[one.until])),
            _text(f"{one.actual}{percent}"),
            _text(one.expected),
            _text(one.severity),
        )
    return table


def _last(count: int, what: str) -> str:
    return f"{what}: {count}" + (f", the last {MOST_LISTED}" if count > MOST_LISTED else "")


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.4g}"  # noqa: PLR2004 - four figures
