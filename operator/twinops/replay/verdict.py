"""The verdict in words: whether the forecasts can be trusted here, and how the warnings did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twinops.replay.incidents import RiskScore
from twinops.replay.scores import FEWEST_ORIGINS, PEER_WORDS, HorizonScore, Scores

_BETTER, _WORSE = 0.95, 1.02
"""Ratios to naive, as in the operator's own gate in ``core.forecast.calibration``."""
_COVERED = (0.85, 0.95)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Summary of a replay.

    Attributes:
        trusted: whether forecasts beat naive and their coverage is right; None when too few were scored.
        against: our WIS over each peer's, geometric mean over metrics and horizons, by name.
        coverage: mean coverage of the 90 % interval, None when too few were scored.
        sentences: for people.
    """

    trusted: bool | None
    against: dict[str, float]
    coverage: float | None
    sentences: tuple[str, ...]


def judge(names: Sequence[str], scores: Scores, risks: RiskScore, *, limited: bool) -> Verdict:
    """Return the verdict.

    Args:
        names: of the metrics, in the order of ``scores``.
        scores: of forecasts.
        risks: of warnings.
        limited: whether any metric has a limit.
    """
    known = [(name, one) for name, row in zip(names, scores.table, strict=True) for one in row if one.ours is not None]
    warnings = _of_warnings(risks, limited=limited)
    if not known:
        text = (
            f"Too little to tell whether to trust the forecasts: fewer than {FEWEST_ORIGINS} could be scored. "
            "Replay a longer history."
        )
        return Verdict(None, {}, None, (text, *warnings))
    against = {peer: _geometric([one.relative[peer] for _, one in known]) for peer in PEER_WORDS}
    coverage = math.fsum(one.ours.coverage for _, one in known if one.ours is not None) / len(known)
    right = _COVERED[0] <= coverage <= _COVERED[1]
    trusted = against["naive"] < _BETTER and right
    first = f"Forecasts {_against(against)}; {_covered(coverage)}"
    advice = _advice(against["naive"], right=right)
    sentences = [f"{first}: {advice}", *_odd_ones(known, against["naive"]), *warnings]
    return Verdict(trusted, against, coverage, tuple(sentences))


def _against(against: dict[str, float]) -> str:
    """Compare the forecasts with naive and with the best of the other peers."""
    others = {peer: ratio for peer, ratio in against.items() if peer != "naive"}
    best = max(others, key=lambda one: others[one])
    first, second = against["naive"], against[best]
    if first < 1 and second < 1 and _percent(first) and _percent(second):
        return f"beat naive by {_percent(first)} % and {PEER_WORDS[best]} by {_percent(second)} %"
    return f"{_compared(first, 'naive')} and {_compared(second, PEER_WORDS[best])}"


def _compared(ratio: float, peer: str) -> str:
    if not _percent(ratio):
        return f"are as good as {peer}"
    return f"beat {peer} by {_percent(ratio)} %" if ratio < 1 else f"are {_percent(ratio)} % worse than {peer}"


def _percent(ratio: float) -> int:
    return round(100 * abs(1 - ratio))


def _covered(coverage: float) -> str:
    return f"{100 * coverage:.0f} % of values came inside the 90 % interval"


def _advice(naive: float, *, right: bool) -> str:
    if not right:
        return "the intervals are off here, so take them with care."
    if naive < _BETTER:
        return "they can be trusted here."
    if naive <= _WORSE:
        return "the intervals can be trusted, and the forecasts add little to the present value."
    return "don't rely on the forecasts here; the operator would publish naive's where it measures this."


def _odd_ones(known: Sequence[tuple[str, HorizonScore]], overall: float) -> list[str]:
    """Name the metrics that are not better than naive although the mean is."""
    names = list(dict.fromkeys(name for name, _ in known))
    each = {name: _geometric([one.relative["naive"] for other, one in known if other == name]) for name in names}
    bad = [name for name, ratio in each.items() if ratio > 1]
    if overall >= _BETTER or not bad or len(names) == 1:
        return []
    return [f"Not of {', '.join(bad)}: there naive is better."]


def _of_warnings(risks: RiskScore, *, limited: bool) -> list[str]:
    if not limited:
        return ["No limit was given, so no risk could be judged."]
    if not risks.onsets and not risks.judged:
        return ["No limit was crossed, and no warning was given."]
    warned = len(risks.onsets) - risks.misses
    parts = [f"Of {_count(len(risks.onsets), 'crossing')} {warned} {'was' if warned == 1 else 'were'} warned of"]
    if risks.lead_seconds is not None:
        parts.append(f"{risks.lead_seconds / 60:.0f} minutes before by the median")
    if risks.judged:
        parts.append(f"and {risks.hits} of {_count(len(risks.judged), 'incident')} came true")
    return [", ".join(parts) + "."]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _geometric(ratios: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))
