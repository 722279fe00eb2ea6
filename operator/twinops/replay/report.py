"""The result of a replay: scores, risks, verdict, and the JSON document of all of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twinops import __version__
from twinops.api.base import utc
from twinops.core.forecast.config import CONFIG, Config
from twinops.core.forecast.horizon import QUANTILES
from twinops.printable import printable
from twinops.replay.alerts import AlertSpan
from twinops.replay.incidents import Reliability, RiskScore, reliability, score_risks
from twinops.replay.recording import Recording
from twinops.replay.rolling import Progress, Replayed, roll
from twinops.replay.scores import HorizonScore, Score, Scores, score
from twinops.replay.spec import ReplaySpec
from twinops.replay.verdict import Verdict, judge

_FIGURES = 6
_MIDDLE = QUANTILES.index(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Result of a replay.

    Attributes:
        replayed: what the operator would have published at each row.
        learned_limits: metrics whose limit was learned.
        scores: of forecasts.
        risks: of warnings.
        reliabilities: ``[metric][horizon]``, None with too few probabilities.
        verdict: summary in words.
        notes: remarks about the recording and the spec.
        digest: of the forecast configuration.
    """

    replayed: Replayed
    learned_limits: tuple[str, ...]
    scores: Scores
    risks: RiskScore
    reliabilities: tuple[tuple[Reliability | None, ...], ...]
    verdict: Verdict
    notes: tuple[str, ...]
    digest: str

    @property
    def recording(self) -> Recording:
        """The recording that was replayed."""
        return self.replayed.recording

    def limit(self, metric: int) -> float | None:
        """Return a metric's limit in force at the last row, None without one."""
        last = float(self.replayed.limits[-1, metric])
        return last if math.isfinite(last) else None


def replay(
    recording: Recording,
    spec: ReplaySpec,
    *,
    progress: Progress | None = None,
    scoring: Progress | None = None,
    config: Config = CONFIG,
) -> Report:
    """Replay a recording and score the forecasts and warnings.

    Args:
        recording: the recorded metrics.
        spec: limits, expected values and horizons to judge by.
        progress: called with the number of rows done and of all rows.
        scoring: called with the number of metrics scored and of all metrics.
        config: of the forecasts.
    """
    replayed = roll(recording, spec, progress=progress, config=config)
    scores = score(replayed, config=config, progress=scoring)
    risks = score_risks(replayed)
    horizons = range(len(replayed.horizons_seconds))
    found = tuple(tuple(reliability(replayed, k, h) for h in horizons) for k in range(len(recording.names)))
    limited = bool(np.isfinite(replayed.limits).any())
    return Report(
        replayed=replayed,
        learned_limits=tuple(name for name in spec.learn_limits if name in replayed.spec.limits),
        scores=scores,
        risks=risks,
        reliabilities=found,
        verdict=judge(recording.names, scores, risks, limited=limited),
        notes=(*recording.notes, *spec.notes),
        digest=config.digest,
    )


def to_json(report: Report) -> str:
    """Return the report as JSON text (docs/replay.md); non-finite numbers are null."""
    return json.dumps(document(report), indent=1, allow_nan=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """Return the report as plain data; times are RFC 3339, durations seconds."""
    replayed, recording = report.replayed, report.recording
    return {
        "twinops": __version__,
        "config": report.digest,
        "source": printable(recording.origin),
        "stepSeconds": _figure(recording.step),
        "rows": len(recording.times),
        "from": _time(recording.times[0]),
        "until": _time(recording.times[-1]),
        "scoredFrom": _time(recording.times[min(replayed.begin, len(recording.times) - 1)]),
        "horizonsSeconds": list(replayed.horizons_seconds),
        "notes": list(map(printable, report.notes)),
        "verdict": {
            "trusted": report.verdict.trusted,
            "relative": {peer: _figure(ratio) for peer, ratio in report.verdict.against.items()},
            "coverage90": _figure(report.verdict.coverage),
            "text": " ".join(report.verdict.sentences),
        },
        "metrics": {name: _metric(report, k) for k, name in enumerate(recording.names)},
        "risks": _risks(report),
        "drift": {"alerts": [_alert(report, one) for one in replayed.alerts]},
        "points": _points(report),
    }


def _metric(report: Report, k: int) -> dict[str, Any]:
    name, replayed = report.recording.names[k], report.replayed
    learned = name in report.learned_limits
    limit = report.limit(k)
    return {
        "known": int(np.isfinite(report.recording.values[k]).sum()),
        "limit": _figure(limit),
        "limitFrom": None if limit is None else "learned" if learned else "given",
        "expected": _figure(replayed.spec.expected_state.metrics.get(name)),
        "forecasts": {
            str(seconds): _horizon(one)
            for seconds, one in zip(replayed.horizons_seconds, report.scores.table[k], strict=True)
        },
        "chances": {
            str(seconds): _reliability(one)
            for seconds, one in zip(replayed.horizons_seconds, report.reliabilities[k], strict=True)
        },
    }


def _horizon(one: HorizonScore) -> dict[str, Any]:
    return {
        "origins": one.origins,
        **_score(one.ours),
        "relative": {peer: _figure(ratio) for peer, ratio in one.relative.items()},
        "peers": {peer: _score(score) for peer, score in one.peers.items()},
    }


def _score(one: Score | None) -> dict[str, Any]:
    if one is None:
        return dict.fromkeys(("mase", "wis", "coverage90", "width90"))
    return {
        "mase": _figure(one.mase),
        "wis": _figure(one.wis),
        "coverage90": _figure(one.coverage),
        "width90": _figure(one.width),
    }


def _reliability(one: Reliability | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "brierSkill": _figure(one.brier_skill),
        "baseRate": _figure(one.base_rate),
        "bins": [[_figure(probability), _figure(share)] for probability, share in one.bins],
    }


def _risks(report: Report) -> dict[str, Any]:
    risks, times = report.risks, report.recording.times
    return {
        "crossings": len(risks.onsets),
        "warned": len(risks.onsets) - risks.misses,
        "missed": risks.misses,
        "medianLeadSeconds": _figure(risks.lead_seconds),
        "incidentsJudged": len(risks.judged),
        "hits": risks.hits,
        "precision": _figure(risks.precision),
        "quietAlarmShare": _figure(risks.quiet_alarm_share),
        "incidents": [
            {
                "metrics": list(one.metrics),
                "from": _time(times[one.first]),
                "until": _time(times[one.last]),
                "crossedAt": None if one.onset is None else _time(times[one.onset]),
                "leadSeconds": None if one.onset is None else _figure(times[one.onset] - times[one.first]),
                "judged": one in risks.judged,
            }
            for one in risks.incidents
        ],
        "onsets": [
            {
                "time": _time(times[one.row]),
                "metrics": list(one.metrics),
                "warnedAt": None if one.warned is None else _time(times[one.warned]),
            }
            for one in risks.onsets
        ],
    }


def _alert(report: Report, one: AlertSpan) -> dict[str, Any]:
    times = report.recording.times
    return {
        "component": one.component,
        "direction": one.direction,
        "severity": one.severity,
        "since": _time(one.since),
        "raised": _time(times[one.raised]),
        "until": None if one.until is None else _time(times[one.until]),
        "expected": one.expected,
        "actual": one.actual,
        "deviationPercent": _figure(one.percent),
    }


def _points(report: Report) -> dict[str, Any]:
    replayed, recording = report.replayed, report.recording
    metrics = {}
    for k, name in enumerate(recording.names):
        quantiles = replayed.quantiles[:, k]
        metrics[name] = {
            "value": _column(recording.values[k]),
            "limit": _column(replayed.limits[:, k]),
            "expected": _column(replayed.expected[:, k, 0]),
            "warned": replayed.warned[:, k].tolist(),
            "forecasts": {
                str(seconds): {
                    "lower": _column(quantiles[:, h, 0]),
                    "median": _column(quantiles[:, h, _MIDDLE]),
                    "upper": _column(quantiles[:, h, -1]),
                    "chance": _column(replayed.exceedance[:, k, h]),
                }
                for h, seconds in enumerate(replayed.horizons_seconds)
            },
        }
    return {
        "time": [_time(one) for one in recording.times],
        "drifting": replayed.drifting.tolist(),
        "metrics": metrics,
    }


def _column(values: npt.NDArray[np.float64]) -> Sequence[float | None]:
    return _figures(values.tolist())


def _figures(values: Iterable[float]) -> list[float | None]:
    return [_figure(value) for value in values]


def _figure(value: float | None) -> float | None:
    """Return the number rounded to six digits, None when it is not finite."""
    return float(f"{value:.{_FIGURES}g}") if value is not None and math.isfinite(value) else None


def _time(unix: float) -> str:
    return utc(float(unix)).strftime("%Y-%m-%dT%H:%M:%SZ")
