"""Plots: reliability diagrams, and forecast bands of some series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.forecast.risk import SECONDS
from benchmarks.forecast.runs import ours
from benchmarks.forecast.scored import Scored
from benchmarks.series import DAY, BenchSeries
from twinops.core.forecast.config import Config

FORMS = ("png", "svg")
_SHOWN_DAYS = 3
_MOST_BANDS = 4
_BLUE, _ORANGE, _GREY = "#2563eb", "#d97706", "#6b7280"


def write(folder: Path, chosen: Sequence[BenchSeries], kept: Mapping[str, Sequence[Scored]],
          figures: Mapping[str, Mapping[str, Any]], config: Config) -> list[Path]:  # fmt: skip
    """Write every plot as PNG and SVG; return their paths.

    Args:
        folder: made if need be.
        chosen: all series.
        kept: the series whose risk is scored, by percentile.
        figures: of every series, by name.
        config: the frozen one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "twinops"  # the same figures give the same file
    plots = {
        "reliability": reliability(kept, figures),
        "bands": bands(chosen[:: max(1, len(chosen) // _MOST_BANDS)], config),
    }
    paths = []
    for name, plot in plots.items():
        for form in FORMS:
            path = folder / f"{name}.{form}"
            plot.savefig(path, dpi=150, metadata={"Date": None} if form == "svg" else None)
            paths.append(path)
    return paths


def reliability(kept: Mapping[str, Sequence[Scored]], figures: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw how often limits were crossed against the probability that was given, a panel per percentile and horizon."""
    figure = Figure(figsize=(10, 3.4 * max(len(kept), 1)), layout="constrained")
    panels = figure.subplots(max(len(kept), 1), len(SECONDS), squeeze=False)
    for row, (percentile, scored) in zip(panels, kept.items(), strict=True):
        for axes, seconds, key in zip(row, SECONDS, ("3", "6", "12"), strict=True):
            axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle="--")
            each = [np.array(figures[one.series.name]["risk"][percentile]["diagram"][key]) for one in scored]
            for pairs in each:
                axes.plot(pairs[:, 0], pairs[:, 1], color=_BLUE, alpha=0.25, linewidth=0.8)
            if each:
                pooled = np.mean([pairs for pairs in each if len(pairs) == len(each[0])], axis=0)
                axes.plot(pooled[:, 0], pooled[:, 1], color=_ORANGE, marker="o", markersize=4)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=f"{percentile}, {seconds // 60} min")
        row[0].set_ylabel("frequency of crossing")
    for axes in panels[-1]:
        axes.set_xlabel("probability given")
    figure.suptitle("Risk: ten equal-count bins; blue: each series, orange: mean over series")
    return figure


def bands(chosen: Sequence[BenchSeries], config: Config) -> Figure:
    """Draw the forecasts made an hour before, with their 50 % and 90 % bands, over the last days of some series."""
    figure = Figure(figsize=(11, 2.6 * max(len(chosen), 1)), layout="constrained")
    for axes, one in zip(figure.subplots(len(chosen), 1, squeeze=False)[:, 0], chosen, strict=True):
        hour, count = one.steps(3600), one.steps(_SHOWN_DAYS * DAY)
        quantiles = ours(one, np.array([hour]), config).ours[:, 0]
        shown = np.arange(max(0, len(one.values) - count), len(one.values))
        made = quantiles[np.maximum(shown - hour, 0)]
        times = [datetime.fromtimestamp(time, UTC) for time in one.times[shown]]
        axes.fill_between(times, made[:, 0], made[:, -1], color=_BLUE, alpha=0.15, linewidth=0, label="90 %")
        axes.fill_between(times, made[:, 2], made[:, 6], color=_BLUE, alpha=0.3, linewidth=0, label="50 %")
        axes.plot(times, made[:, 4], color=_BLUE, linewidth=0.9, label="median, made an hour before")
        axes.plot(times, one.values[shown], color="black", linewidth=0.7, label="measured")
        known = one.values[shown][np.isfinite(one.values[shown])]
        if len(known):
            low, high = min(known.min(), np.percentile(made, 2)), max(known.max(), np.percentile(made, 98))
            axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
        axes.set_title(one.name, loc="left", fontsize=9)
        axes.tick_params(labelsize=8)
    figure.axes[0].legend(loc="upper right", ncols=4, fontsize=7)
    return figure
