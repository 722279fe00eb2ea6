"""Waiting for conditions, never for time to pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from devcluster.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

POLL_SECONDS = 0.05


def wait_until(
    condition: Callable[[], T | None],
    *,
    within: float,
    what: str,
    interval: float = POLL_SECONDS,
    retry_on: tuple[type[Exception], ...] = (),
    on_deadline: Callable[[], str] | None = None,
) -> T:
    """Ask again and again until the answer is truthy, and return that answer.

    Args:
        condition: Asked at once and then every `interval` seconds.
        within: Deadline in seconds.
        what: Names the condition in the error.
        interval: Pause between two questions in seconds.
        retry_on: Exceptions of `condition` that mean "not yet".
        on_deadline: Gives more text for the error, such as the end of a log.

    Raises:
        DeadlineError: The condition did not come true in time.
    """
    deadline = time.monotonic() + within
    last: object = None
    while True:
        try:
            last = answer = condition()
            if answer:
                return answer
        except retry_on as error:
            last = error
        if time.monotonic() >= deadline:
            more = f"\n{on_deadline()}" if on_deadline else ""
            message = f"not within {within:g} s: {what} (last answer: {last!r}){more}"
            raise DeadlineError(message)
        time.sleep(interval)
