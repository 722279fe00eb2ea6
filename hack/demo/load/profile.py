"""How the load goes over time, and when each request is sent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_RATE = 0.1


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight line of the load.

    Attributes:
        seconds: how long it takes.
        to: rate at its end, requests/s.
    """

    seconds: float
    to: float


class LoadProfile:
    """A rate over time in requests/s: straight lines, the last rate held for ever.

    Args:
        rate: the rate before the first segment.
    """

    def __init__(self, rate: float) -> None:
        self._corners: list[tuple[float, float]] = [(0.0, rate)]

    def go(self, now: float, segments: Sequence[Segment]) -> None:
        """From the rate at `now` on, follow these segments in place of what was planned before."""
        corners = [(now, self.rate(now))]
        for segment in segments:
            corners.append((corners[-1][0] + segment.seconds, segment.to))
        self._corners = corners

    def rate(self, at: float) -> float:
        """Return the rate at one time, requests/s."""
        before = self._corners[0]
        if at <= before[0]:
            return before[1]
        for after in self._corners[1:]:
            if at < after[0]:
                share = (at - before[0]) / (after[0] - before[0])
                return before[1] + share * (after[1] - before[1])
            before = after
        return before[1]


class Arrivals:
    """When requests are sent: at the profile's rate, evenly spaced with a seeded jitter of half a gap.

    Even spacing is what load generators with a constant arrival rate do (k6, wrk2); the jitter keeps the
    requests of a shop from marching in step with its pods.

    Args:
        profile: the rate over time.
        seed: the same seed gives the same times for the same profile.
    """

    def __init__(self, profile: LoadProfile, seed: int) -> None:
        self._profile = profile
        self._random = random.Random(seed)  # noqa: S311 - not a secret
        self._next = 0.0

    def following(self) -> float:
        """Return the time of the next request, seconds since the start."""
        gap = 1 / max(self._profile.rate(self._next), _LEAST_RATE)
        self._next += gap * self._random.uniform(0.5, 1.5)
        return self._next
