"""What customers experienced: latency, failures and replicas, second by second."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request went.

    Attributes:
        sent: seconds since the start at which it was sent.
        seconds: time until the answer; of a failed request the client's time-out, since a refusal
            in a millisecond helps nobody.
        failed: refused, timed out or broken.
        replicas: ready replicas as the shop tells with each answer, None when nothing came back.
    """

    sent: float
    seconds: float
    failed: bool
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Second:
    """All requests that were sent within one second.

    Attributes:
        at: whole seconds since the start.
        offered: number of requests.
        failed: how many of them failed.
        p95_ms: 95th percentile of their latency, milliseconds.
        replicas: most ready replicas seen, None when nothing came back.
    """

    at: int
    offered: int
    failed: int
    p95_ms: float
    replicas: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One shop over a period.

    Attributes:
        requests: how many were sent.
        failed_share: share of them that failed, 0..1.
        p95_ms: 95th percentile over all of them, milliseconds.
        seconds_over: number of seconds whose own 95th percentile lay over the limit.
        replica_seconds: ready replicas, summed over the seconds: what it cost.
        most_replicas: at the most.
    """

    requests: int
    failed_share: float
    p95_ms: float
    seconds_over: int
    replica_seconds: int
    most_replicas: int


def quantile(values: Iterable[float], level: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank).

    Returns:
        NaN when there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(level * len(ordered)) - 1)]


def by_second(answers: Iterable[Answer]) -> list[Second]:
    """Sort answers into the seconds in which they were sent, the oldest first."""
    grouped: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        grouped[math.floor(answer.sent)].append(answer)
    return [
        Second(
            at=at,
            offered=len(group),
            failed=sum(answer.failed for answer in group),
            p95_ms=1000 * quantile((answer.seconds for answer in group), QUANTILE),
            replicas=max((answer.replicas for answer in group if answer.replicas is not None), default=None),
        )
        for at, group in sorted(grouped.items())
    ]


def summarize(answers: Sequence[Answer], *, limit_ms: float) -> Summary:
    """Sum up the answers of one period.

    Args:
        answers: in any order.
        limit_ms: latency limit, milliseconds.
    """
    seconds = by_second(answers)
    failed = sum(answer.failed for answer in answers)
    return Summary(
        requests=len(answers),
        failed_share=failed / len(answers) if answers else 0.0,
        p95_ms=1000 * quantile((answer.seconds for answer in answers), QUANTILE),
        seconds_over=sum(second.p95_ms > limit_ms for second in seconds),
        replica_seconds=sum(_filled(seconds)),
        most_replicas=max(_filled(seconds), default=0),
    )


def _filled(seconds: Iterable[Second]) -> list[int]:
    """Return the replicas of each second; one without an answer keeps those before it."""
    filled: list[int] = []
    for second in seconds:
        filled.append(second.replicas if second.replicas is not None else (filled[-1] if filled else 0))
    return filled
