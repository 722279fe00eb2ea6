"""Scores every detector, and writes the table and the JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.drift.budget import HOURS_PER_MONTH, Spent, spend
from benchmarks.drift.detectors import Alarms, Detector
from benchmarks.drift.nab import PROFILES, Score, bootstrap, outcome, score
from benchmarks.drift.series import Labelled
from twinops.core.baseline.settings import SETTINGS

HALVES = ("even", "odd")


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The result of one detector on all series.

    Attributes:
        name: of the detector.
        threshold: used for everything except ``other_half`` and the budgets.
        own: whether it is the detector's own; else it is the best of all on these labels.
        alarms: at that threshold, by series.
        scores: by profile, of each series.
        other_half: standard profile; the best threshold of each half scored on the other, and both together.
        found: windows with an alarm at the threshold, and what its alarms cost.
        at_budget: the same at the most sensitive threshold within the budget, or at the own one if that is within.
        at_begin_budget: the same where an alarm costs at most its first half hour.
        at_active_budget: the same where an alarm costs as long as it is active.
    """

    name: str
    threshold: float
    own: bool
    alarms: list[Alarms]
    scores: dict[str, list[Score]]
    other_half: dict[str, float]
    found: Spent
    at_budget: Spent | None
    at_begin_budget: Spent | None
    at_active_budget: Spent | None


def evaluate(detector: Detector, series: Sequence[Labelled]) -> Result:
    """Score one detector on all series."""
    judges = [detector.prepare(one) for one in series]
    table = {threshold: [judge(threshold) for judge in judges] for threshold in detector.thresholds}
    marks = {
        threshold: [_score(one, its, "standard") for one, its in zip(series, alarms, strict=True)]
        for threshold, alarms in table.items()
    }

    def best(half: Sequence[str]) -> float:
        return max(
            table,
            key=lambda threshold: _total(_of_half(series, marks[threshold], half)).normalised,
        )

    threshold = best(HALVES) if detector.own is None else detector.own
    swapped = {half: _of_half(series, marks[best([_other(half)])], [half]) for half in HALVES}
    other = {half: _total(scores).normalised for half, scores in swapped.items()}
    other["both"] = _total([score for scores in swapped.values() for score in scores]).normalised
    spent = {threshold: spend(series, alarms) for threshold, alarms in table.items()}
    order = [threshold, *detector.thresholds] if detector.own is not None else list(detector.thresholds)
    return Result(
        name=detector.name,
        threshold=threshold,
        own=detector.own is not None,
        alarms=table[threshold],
        scores={
            profile: [_score(one, its, profile) for one, its in zip(series, table[threshold], strict=True)]
            for profile in PROFILES
        },
        other_half=other,
        found=spent[threshold],
        at_budget=_within(order, spent, lambda one: one.raised),
        at_begin_budget=_within(order, spent, lambda one: one.begin),
        at_active_budget=_within(order, spent, lambda one: one.active),
    )


def _within(order: Sequence[float], spent: dict[float, Spent], cost: Callable[[Spent], float]) -> Spent | None:
    return next((spent[one] for one in order if cost(spent[one]) <= HOURS_PER_MONTH), None)


def _score(series: Labelled, alarms: Alarms, profile: str) -> Score:
    return score(alarms.started.tolist(), len(series.times), series.windows, PROFILES[profile])


def _of_half(series: Sequence[Labelled], scores: Sequence[Score], halves: Sequence[str]) -> list[Score]:
    return [one for its, one in zip(series, scores, strict=True) if its.half in halves]


def _other(half: str) -> str:
    return HALVES[1 - HALVES.index(half)]


def _total(scores: Sequence[Score]) -> Score:
    return sum(scores, Score())


def quiet(series: Labelled) -> bool:
    """Return whether a series is known to have no anomaly."""
    return series.labelled and not series.windows


def config_hash() -> str:
    """Return the hash of the one configuration."""
    text = json.dumps(dataclasses.asdict(SETTINGS), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def as_json(series: Sequence[Labelled], result: Result, peers: Sequence[Result]) -> dict[str, Any]:
    """Return the figures as plain data, those of the product first."""
    return {
        "summary": _summary(series, result) | {"peers": {peer.name: _summary(series, peer) for peer in peers}},
        "series": {one.name: _of_series(one, place, result) for place, one in enumerate(series)},
        "config": config_hash(),
    }


def _summary(series: Sequence[Labelled], result: Result) -> dict[str, Any]:
    totals = {profile: _total(scores) for profile, scores in result.scores.items()}
    nothing = Spent(0, 0.0, 0.0, 0.0)
    raised = result.at_budget or nothing
    begin = result.at_begin_budget or nothing
    active = result.at_active_budget or nothing
    return {
        **{profile: round(total.normalised, 2) for profile, total in totals.items()},
        "other_half": round(result.other_half["both"], 2),
        "windows_found": raised.found,
        "windows_found_if_half_hours_count": begin.found,
        "windows_found_if_standing_counts": active.found,
        "alarms_on_quiet_files": sum(
            len(its.started) for one, its in zip(series, result.alarms, strict=True) if quiet(one)
        ),
        "windows": sum(len(one.windows) for one in series),
        "false_alarms": sum(outcome_of(one, its)[1] for one, its in zip(series, result.alarms, strict=True)),
        "windows_found_at_threshold": result.found.found,
        "alarm_hours_a_month": {
            "raised": round(result.found.raised, 3),
            "half_hours": round(result.found.begin, 3),
            "standing": round(result.found.active, 3),
        },
        "threshold": result.threshold,
        "intervals": {profile: [round(end, 1) for end in bootstrap(its)] for profile, its in result.scores.items()},
        "halves": {
            half: {
                profile: round(_total(_of_half(series, scores, [half])).normalised, 2)
                for profile, scores in result.scores.items()
            }
            for half in HALVES
        },
        "other_half_each": {half: round(result.other_half[half], 2) for half in HALVES},
    }


def outcome_of(series: Labelled, alarms: Alarms) -> tuple[int, int]:
    """Return how many windows were found and how many alarms were false."""
    what = outcome(alarms.started.tolist(), len(series.times), series.windows)
    return sum(what.found), what.false_alarms


def _of_series(series: Labelled, place: int, result: Result) -> dict[str, Any]:
    found, false = outcome_of(series, result.alarms[place])
    return {
        "half": series.half,
        "windows": len(series.windows),
        "windows_found": found,
        "false_alarms": false,
        "alarms": len(result.alarms[place].started),
        **{profile: round(scores[place].raw, 4) for profile, scores in result.scores.items()},
    }


def lines(series: Sequence[Labelled], results: Sequence[Result]) -> Iterator[str]:
    """Yield the table: each series for the product, then every detector's summary."""
    product = results[0]
    yield f"{'series':46} half  windows  found  false alarms"
    for one, its in zip(series, product.alarms, strict=True):
        found, false = outcome_of(one, its)
        yield f"{one.name:46} {one.half:4} {len(one.windows):8} {found:6} {false:13}"
    yield ""
    yield (
        f"{'':22} standard          low FP           low FN           other half  found  false  quiet"
        "       budget   hours"
    )
    for result in results:
        yield _row(series, result)
    yield ""
    yield from _halves(series, product)
    yield f"configuration {config_hash()}; intervals: 90 %, bootstrap over files"
    yield "other half: the threshold that is best on one half, scored on the other; both ways, together"
    yield (
        f"found: windows of {sum(len(one.windows) for one in series)}; "
        "quiet: alarms on files without anomaly, probation included"
    )
    yield (
        f"at budget: windows found with at most {HOURS_PER_MONTH:g} alarm-hour a 30-day month outside of windows; "
        "first, an alarm costs the step at which it is raised: the alarms that are scored above, held off; "
        "second, as long as it stands, but half an hour at most; third, as long as it stands"
    )
    yield "hours: alarm-hours a month outside of windows at the row's threshold, an alarm costing as long as it stands"
    yield "peers without a threshold of their own get the one that is best on all these labels"


def _row(series: Sequence[Labelled], result: Result) -> str:
    figures = _summary(series, result)
    marks = " ".join(
        f"{figures[profile]:5.1f} ({low:5.1f} {high:5.1f})" for profile, (low, high) in figures["intervals"].items()
    )
    budgets = (
        f"{figures['windows_found']:4} /{figures['windows_found_if_half_hours_count']:3}"
        f" /{figures['windows_found_if_standing_counts']:3} {result.found.active:7.1f}"
    )
    return (
        f"{result.name:22} {marks} {figures['other_half']:10.1f} {result.found.found:6} "
        f"{figures['false_alarms']:6} {figures['alarms_on_quiet_files']:6} {budgets}"
    )


def _halves(series: Sequence[Labelled], result: Result) -> Iterator[str]:
    figures = _summary(series, result)
    for half in HALVES:
        marks = " / ".join(f"{mark:.1f}" for mark in figures["halves"][half].values())
        role = "tuned on" if half == HALVES[0] else "report only"
        swapped = figures["other_half_each"][half]
        yield f"{result.name}, {half} half ({role}): {marks}; with the other's threshold {swapped:.1f}"
