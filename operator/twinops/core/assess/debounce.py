"""Debounce with hysteresis: when something outside its threshold counts as persistent.

The window is a short string in status, so that it survives a restart: one character per sync, ``1`` = outside,
``0`` = inside, newest last, at most ``WINDOW`` of them.

The rule, for drift and risk alike:

- It **becomes** persistent at the sync at which at least ``ENOUGH`` of the window are outside.
- It **stays** so as long as that holds, and after that until a sync finds the value *cleared* (under
  ``CLEARED_BELOW``, 80 %, of the threshold) and one more sync outside would not make it persistent again: neither a
  value that swings around the threshold nor one that jumps far out and far in makes it flap.
- A sync without a value (missing, stale, NaN) changes neither window nor verdict: the caller does not ``push`` and
  passes ``cleared=False``.
- A sample counts once: a sync that reads the same sample as the last one does not ``push`` either (``is_new``). After
  a gap in the data the window starts empty (``after_gap``).
"""

from __future__ import annotations

from datetime import datetime

WINDOW = 5
"""Syncs in the window."""

ENOUGH = 3
"""Of these, how many must be outside."""

CLEARED_BELOW = 0.8
"""Share of the threshold under which a value counts as cleared."""

GAP_SECONDS = 600.0
"""Seconds. Data that are further apart than this, and than two intervals, are not one window."""


def is_new(last: datetime | None, at: float) -> bool:
    """Tell whether data are newer than those that counted last.

    Args:
        last: time of the data that counted last, None when none has. Status keeps whole seconds.
        at: time of the data at hand, Unix seconds.
    """
    return last is None or int(at) > int(last.timestamp())


def after_gap(last: datetime | None, at: float, interval: float) -> bool:
    """Tell whether more than ``GAP_SECONDS`` and two intervals lie between data and those that counted last.

    Args:
        last: time of the data that counted last, None when none has.
        at: time of the data at hand, Unix seconds.
        interval: seconds between two syncs.
    """
    return last is not None and abs(at - last.timestamp()) > max(GAP_SECONDS, 2 * interval)


def push(recent: str, outside: bool) -> str:  # noqa: FBT001 - an observation, not a switch
    """Return the window after one more sync, its newest entry last.

    Args:
        recent: the window before, ``0`` and ``1`` only; empty at the first sync.
        outside: whether this sync found the value outside its threshold.
    """
    return (recent + ("1" if outside else "0"))[-WINDOW:]


def persistent(recent: str, was_persistent: bool, cleared: bool) -> bool:  # noqa: FBT001 - observations, not switches
    """Tell whether what is observed is persistent, by the rule above.

    Args:
        recent: the window, this sync included.
        was_persistent: the verdict of the sync before.
        cleared: whether this sync found the value under ``CLEARED_BELOW`` of its threshold.
    """
    window = recent[-WINDOW:]
    # Without this a value that jumps far out and far in at every other sync would change the verdict with every jump.
    one_more_is_enough = window[1 - WINDOW :].count("1") >= ENOUGH - 1
    return window.count("1") >= ENOUGH or (was_persistent and (one_more_is_enough or not cleared))
