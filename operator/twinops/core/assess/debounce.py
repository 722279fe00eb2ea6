"""When something outside its threshold counts as lasting: three of the last five syncs, with hysteresis.

The window is a short string that lives in status, so that a restart forgets nothing: one character per
sync, ``1`` = outside, ``0`` = not, newest last, at most ``WINDOW`` of them.

The rule, for drift and risk alike:

- It **becomes** persistent at the sync at which at least ``ENOUGH`` of the window are outside.
- It **stays** so as long as that holds, and after that until a sync finds the value *well back* (under
  ``WELL_BACK``, 80 %, of the threshold) and one more sync outside would not bring it back: neither a
  value that swings around the threshold nor one that jumps far out and far in makes it flap.
- A sync that has no value (missing, stale, NaN) says nothing about either side: don't ``push`` for it,
  and hand ``well_back=False`` on; the window and the verdict stay as they are.
- Data count, not looks: a sync that finds the same data as the last one does not ``push`` either. After a gap
  in the data all that was remembered is forgotten (``is_new``, ``after_gap``).
"""

from __future__ import annotations

from datetime import datetime

WINDOW = 5
"""Syncs that are looked at."""

ENOUGH = 3
"""Of these, how many must be outside."""

WELL_BACK = 0.8
"""Share of the threshold under which a value counts as well back."""


GAP_SECONDS = 600.0
"""Data that are further apart than this, and than two intervals, have nothing to do with each other."""


def is_new(last: datetime | None, at: float) -> bool:
    """Tell whether data are newer than those that counted last.

    Args:
        last: time of the data that counted last, None when none has. Status keeps whole seconds.
        at: time of the data at hand, Unix seconds.
    """
    return last is None or int(at) > int(last.timestamp())


def after_gap(last: datetime | None, at: float, interval: float) -> bool:
    """Tell whether too much time lies between data and those that counted last; ``interval`` is that of syncs."""
    return last is not None and abs(at - last.timestamp()) > max(GAP_SECONDS, 2 * interval)


def push(recent: str, outside: bool) -> str:  # noqa: FBT001 - the fact itself, not a switch
    """Return the window after one more sync, its newest entry last.

    Args:
        recent: the window before, ``0`` and ``1`` only; empty at the first sync.
        outside: whether this sync found the value outside its threshold.
    """
    return (recent + ("1" if outside else "0"))[-WINDOW:]


def persistent(recent: str, was_persistent: bool, well_back: bool) -> bool:  # noqa: FBT001 - facts, not switches
    """Tell whether it lasts, by the rule above.

    Args:
        recent: the window, this sync included.
        was_persistent: the verdict of the sync before.
        well_back: whether this sync found the value under ``WELL_BACK`` of its threshold.
    """
    window = recent[-WINDOW:]
    # Else a value that jumps far out and far in at every other sync would come and go with every jump.
    one_more_would_do = window[1 - WINDOW :].count("1") >= ENOUGH - 1
    return window.count("1") >= ENOUGH or (was_persistent and (one_more_would_do or not well_back))
