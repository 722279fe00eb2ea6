"""The plot: forecasts, observed values, limits, warnings and drift alerts; one panel per metric."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from twinops.api.base import utc
from twinops.core.forecast.config import DAY
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.interpolation import ahead
from twinops.core.series import Floats
from twinops.errors import InputError
from twinops.metric_definitions import definition
from twinops.printable import printable
from twinops.replay.durations import short
from twinops.replay.incidents import Reliability
from twinops.replay.report import Report

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart by every common kind of colour vision.
_ACTUAL, _BAND, _MEDIAN, _LIMIT = "#1a1a1a", "#56b4e9", "#0072b2", "#d55e00"
_HIT, _FALSE, _MISSED, _DRIFT = "#009e73", "#e69f00", "#d55e00", "#cc79a7"
_MIDDLE = QUANTILES.index(0.5)
_MOST_POINTS = 2400
"""Points per line, about two per pixel; longer lines are reduced."""
_WIDTH, _PANEL, _EXTRA = 13.0, 2.5, 1.1
_CLOSE_SECONDS = 3 * DAY
_LONG_SECONDS = 8 * DAY
"""From this length on the last three days get a panel of their own, in which intervals can be seen."""
FORMATS = ("png", "svg", "html")
"""File name endings of a plot; an html page contains the svg."""

_STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "svg.fonttype": "path",
    "svg.hashsalt": "twinops",
}


def check_available() -> None:
    """Check that plots can be drawn.

    Raises:
        InputError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise InputError("--plot needs matplotlib: pip install 'twinops[plot]'")


def draw(report: Report, form: str, *, horizon: int | None = None) -> bytes:
    """Return the plot as an image file.

    Args:
        report: result of a replay.
        form: ``png`` or ``svg``.
        horizon: seconds; forecasts of this horizon are drawn at their target times. The longest by default.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra, and slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    horizons = report.replayed.horizons_seconds
    which = len(horizons) - 1 if horizon is None else horizons.index(horizon)
    names, times = report.recording.names, report.recording.times
    judged = any(row[which] is not None for row in report.reliabilities)
    close = max(0, len(times) - round(_CLOSE_SECONDS / report.recording.step))
    long = times[-1] - times[0] >= _LONG_SECONDS
    widths = [3.0, *([2.3] if long else []), *([0.95] if judged else [])]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # its keys are an enumeration of literals
        figure = Figure(figsize=(_WIDTH, _PANEL * len(names) + _EXTRA), layout="constrained")
        grid = figure.add_gridspec(len(names), len(widths), width_ratios=widths)
        panels: list[list[Axes]] = []
        for k, name in enumerate(names):
            unit = _unit(report, name)
            row = [figure.add_subplot(grid[k, column]) for column in range(1 + long)]
            for axes, since in zip(row, (0, close), strict=False):
                _panel(axes, report, k, which, since)
            row[0].set_title(printable(f"{name} ({unit})" if unit else name), loc="left", fontsize=10.5)
            if long:
                row[1].set_title("the last three days", loc="left", fontsize=9.5, color="#555555")
            panels.append(row)
            if judged:
                _reliability(figure.add_subplot(grid[k, len(widths) - 1]), report.reliabilities[k][which], titled=not k)
        _decorate(figure, panels, report, horizons[which])
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(buffer, format=form, dpi=110, metadata=metadata)
    return buffer.getvalue()


def _panel(axes: Axes, report: Report, k: int, which: int, since: int) -> None:
    """Draw one metric from row ``since`` on."""
    replayed, recording = report.replayed, report.recording
    seconds = replayed.horizons_seconds[which]
    first = max(0, since - int(ahead((seconds,), recording.step).after[0]))
    times, values = recording.times[since:], recording.values[k, since:]
    # Forecasts are drawn at their target times.
    foreseen, of = replayed.quantiles[first:, k, which], recording.times[first:] + seconds
    at, lower, middle, upper = _thinned(of, foreseen[:, 0], foreseen[:, _MIDDLE], foreseen[:, -1])
    dates = _dates(at)
    axes.fill_between(dates, lower, upper, color=_BAND, alpha=0.5, linewidth=0, label="90 % interval")
    axes.plot(dates, middle, color=_MEDIAN, linewidth=1.0 if since else 0.7, label="foreseen")
    at, value = _extremes(times, values)
    axes.plot(_dates(at), value, color=_ACTUAL, linewidth=0.7, label="came")
    limits = replayed.limits[since:, k]
    if np.isfinite(limits).any():
        axes.plot(_dates(times), limits, color=_LIMIT, linewidth=1.3, linestyle=(0, (5, 2)), label="limit")
    if since < replayed.begin:
        axes.axvspan(
            *_dates(recording.times[[since, replayed.begin]]), color="#f1f1f1", linewidth=0, zorder=0,
            label="for learning",
        )  # fmt: skip
    _marks(axes, report, recording.names[k], since)
    axes.set_xlim(*_dates(recording.times[[since, -1]] + [0, seconds]))
    _scale(axes, values, foreseen, limits)


def _unit(report: Report, name: str) -> str:
    own = (metric.unit for metric in report.replayed.spec.source.metrics if metric.name == name and metric.unit)
    return next(own, definition(name).unit)


def _scale(axes: Axes, values: Floats, foreseen: Floats, limits: Floats) -> None:
    """Set the value range from observed values, limits and all but the widest 2 % of the intervals."""
    known = np.concatenate([values[np.isfinite(values)], limits[np.isfinite(limits)]])
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    bands = foreseen[np.isfinite(foreseen[:, 0])]
    if len(bands):
        low = min(low, float(np.percentile(bands[:, 0], 2)))
        high = max(high, float(np.percentile(bands[:, -1], 98)))
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    axes.set_ylim(low - 1.5 * margin, high + 3 * margin)


def _marks(axes: Axes, report: Report, name: str, since: int) -> None:
    """Mark warnings and missed crossings along the top of the panel, drift along its bottom."""
    times, start = report.recording.times, float(report.recording.times[since])
    mine = [one for one in report.risks.judged if name in one.metrics]
    for rows, colour, sign, word in (
        ([one.first for one in mine if one.onset is not None], _HIT, "v", "warning that came true"),
        ([one.first for one in mine if one.onset is None], _FALSE, "v", "false warning"),
        (
            [o.row for o in report.risks.onsets if name in o.metrics and o.warned is None],
            _MISSED,
            "x",
            "crossed without warning",
        ),
    ):
        marked = times[[row for row in rows if row >= since]]
        if len(marked):
            axes.plot(
                _dates(marked), [0.96] * len(marked), sign, color=colour, markersize=5.5, linestyle="none",
                transform=axes.get_xaxis_transform(), label=word, clip_on=False,
            )  # fmt: skip
    for one in report.replayed.alerts:
        end = float(times[-1] if one.until is None else times[one.until])
        if one.component == name and end > start:
            left, right = _dates(np.array([max(one.since, start), end]))
            axes.axvspan(left, right, ymin=0, ymax=0.035, color=_DRIFT, linewidth=0, label="drift alert")


def _reliability(axes: Axes, found: Reliability | None, *, titled: bool) -> None:
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    if found is not None:
        exceedance, shares = zip(*found.bins, strict=True)
        axes.plot(exceedance, shares, "o-", color=_MEDIAN, markersize=3.5, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_box_aspect(1)
    axes.set_xlabel("chance told", fontsize=8.5)
    axes.set_ylabel("share crossed", fontsize=8.5)
    if titled:
        axes.set_title("Were chances right?", loc="left", fontsize=9.5)


def _decorate(figure: Figure, panels: Sequence[Sequence[Axes]], report: Report, horizon: int) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - an optional extra

    found: dict[str, Artist] = {}
    for axes in (axes for row in panels for axes in row):
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]  # ships no types
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # likewise
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    for axes in panels[-1]:
        axes.set_xlabel("time (UTC)", fontsize=9)
    figure.legend(
        list(found.values()), list(found), loc="outside lower center", ncols=min(len(found), 9), frameon=False,
        fontsize=9, columnspacing=1.4, handletextpad=0.5,
    )  # fmt: skip
    days = (report.recording.times[-1] - report.recording.times[0]) / DAY
    figure.suptitle(
        f"Foreseen {short(horizon)} ahead, and what came ({days:.3g} days)", x=0.008, ha="left", fontsize=12.5,
        fontweight="bold",
    )  # fmt: skip


def _dates(times: Floats) -> Any:
    return np.array([utc(float(time)).replace(tzinfo=None) for time in times], dtype="datetime64[ms]")


def _thinned(times: Floats, *columns: Floats) -> tuple[Floats, ...]:
    """Return the means of groups of rows, at most ``_MOST_POINTS`` of them."""
    every = math.ceil(len(times) / _MOST_POINTS)
    if every <= 1:
        return (times, *columns)
    return tuple(_grouped(column, every, np.nanmean) for column in (times, *columns))


def _extremes(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return minimum and maximum of groups of rows, so that spikes are kept."""
    every = math.ceil(2 * len(times) / _MOST_POINTS)
    if every <= 2:  # noqa: PLR2004 - two of two are all
        return times, values
    middle = _grouped(times, every, np.nanmean)
    pairs = np.stack([_grouped(values, every, np.nanmin), _grouped(values, every, np.nanmax)], axis=1)
    return np.repeat(middle, 2), pairs.ravel()


def _grouped(values: Floats, every: int, reduce: Any) -> Floats:
    padded = np.concatenate([values, np.full(-len(values) % every, np.nan)]).reshape(-1, every)
    known = np.isfinite(padded).any(axis=1)
    reduced = np.full(len(padded), np.nan)
    reduced[known] = reduce(padded[known], axis=1)
    return reduced
