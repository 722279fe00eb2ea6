"""A metric's past: on which slots its values lie, which ranges are asked for, and how the answers are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.forecaster import RECENT_STEPS
from twinops.core.metrics.queries import PARTIAL
from twinops.core.series import Floats, Series
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery

MAX_POINTS = 10_000
"""Points of one range query, at most; Prometheus itself refuses more than 11,000."""

MOST_SECONDS = 21 * 86_400
"""No forecast reads further back: fourteen days of profile, and the steps that it is checked on."""

OLDER_STEP = 300
"""Seconds between two entries of the past before the recent one; profiles need no finer ones."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Times at which a twin's values count: ``phase + k * step`` for whole ``k``.

    Attributes:
        step: seconds.
        phase: seconds, 0 <= phase < step; a twin's syncs fall near its slots.
    """

    step: int
    phase: int

    def nearest(self, time: float) -> int:
        """Return the slot nearest to a time in Unix seconds."""
        return round((time - self.phase) / self.step)

    def time(self, slot: int) -> float:
        """Return the time of a slot in Unix seconds."""
        return float(self.phase + slot * self.step)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of slots, both ends included."""

    slots: Slots
    first: int
    last: int

    def queries(self, promql: str, pieces: int = 1) -> list[RangeQuery]:
        """Return range queries that together cover the span, newest first.

        Args:
            promql: what to ask.
            pieces: least number of them, as far as there are slots.
        """
        count = self.last - self.first + 1
        most = min(MAX_POINTS, max(1, -(-count // pieces)))
        ends = range(self.last, self.first - 1, -most)
        slots = self.slots
        return [
            RangeQuery(promql, slots.time(max(self.first, end - most + 1)), slots.time(end), float(slots.step))
            for end in ends
        ]

    def series(self, answers: Sequence[RangeAnswer]) -> Series:
        """Return what the answers tell, on the span's slots; NaN where nothing is known, or two series overlap."""
        count = self.last - self.first + 1
        values = np.full(count, np.nan)
        for answer in answers:
            times, found = _joined(answer)
            index = np.rint((times - self.slots.phase) / self.slots.step).astype(np.int64) - self.first
            inside = (index >= 0) & (index < count) & np.isfinite(found)
            values[index[inside]] = found[inside]
        times = self.slots.phase + np.arange(self.first, self.last + 1, dtype=np.float64) * self.slots.step
        return Series(times, values, float(self.slots.step))


def spans(slots: Slots, newest: int, history_seconds: int) -> tuple[Span, Span | None]:
    """Return the recent past at the twin's step, and the older one at a coarser step where there is one.

    Args:
        slots: the twin's.
        newest: the slot of now.
        history_seconds: how far back, at most ``MOST_SECONDS`` count.
    """
    length = min(history_seconds, MOST_SECONDS)
    if slots.step >= OLDER_STEP:
        return Span(slots, newest - length // slots.step, newest), None
    recent = min(length // slots.step, RECENT_STEPS - 1)
    coarse = Slots(OLDER_STEP, 0)
    first, last = (int(slots.time(slot) // OLDER_STEP) for slot in (newest - length // slots.step, newest - recent))
    older = Span(coarse, first, last - 1) if last > first else None
    return Span(slots, newest - recent, newest), older


class Trouble:
    """How often in a row one metric's past could not be read, and what follows from it."""

    _FIRST_PAUSE = 60.0
    _LONGEST_PAUSE = 3600.0
    _GIVEN_UP_AFTER = 3
    _MOST_PIECES = 16
    _WHATEVER_THE_LENGTH = frozenset({"bad_data", "result_type"})
    """Refusals that a shorter range would meet, too."""
    _OF_THE_STORES = frozenset({PARTIAL, NO_STORE})
    """Faults that have nothing to do with the query, and pass."""

    def __init__(self) -> None:
        self.failures = 0
        self.given_up = False
        self._at = 0.0
        self._pieces = 1

    @property
    def pieces(self) -> int:
        """In how many pieces to ask for it."""
        return self._pieces

    def rests(self, now: float) -> bool:
        """Tell whether the last failure is too fresh to ask again. A clock that went back ends the rest."""
        pause = min(self._FIRST_PAUSE * 2.0 ** min(self.failures - 1, 10), self._LONGEST_PAUSE)
        return self.failures > 0 and 0 <= now - self._at < pause

    def failed(self, now: float, error: str) -> None:
        """Note a failure.

        Args:
            now: Unix seconds.
            error: ``errorType`` of the refusal, empty when there was no answer at all.
        """
        # Without an answer it takes one that fails alone to blame its length.
        blamed = bool(error) or self.failures > 0
        self.failures += 1
        self._at = now
        refused = error in self._WHATEVER_THE_LENGTH
        self.given_up = refused or self.failures >= self._GIVEN_UP_AFTER
        if blamed and not refused and error not in self._OF_THE_STORES:
            self._pieces = min(2 * self._pieces, self._MOST_PIECES)


def without_unstored(answers: Sequence[RangeAnswer]) -> list[RangeAnswer]:
    """Return the answers with nothing in place of the oldest ones for whose time no store has anything.

    That is so only as long as a newer one could be answered: else the stores are out of reach, and nothing is known.

    Args:
        answers: newest first.
    """
    kept = list(answers)
    while len(kept) > 1 and kept[-1].error == NO_STORE:
        kept.pop()
    return [*kept, *([RangeAnswer()] * (len(answers) - len(kept)))]


def _joined(answer: RangeAnswer) -> tuple[Floats, Floats]:
    """Join the series of a query that gave another one at another time; where two overlap, nothing is known."""
    if not answer.series:
        return np.empty(0), np.empty(0)
    times = np.concatenate([times for times, _values in answer.series])
    values = np.concatenate([values for _times, values in answer.series])
    different, index, count = np.unique(times, return_index=True, return_counts=True)
    return different, np.where(count == 1, values[index], np.nan)
