"""The process itself: how it is asked to end, and that it does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import structlog

log = structlog.get_logger()

SIGNALS = (signal.SIGTERM, signal.SIGINT)

LAST_WORDS_SECONDS = 1.0
"""How long the last lines may take to be written: a reader that is stuck must not keep the process."""


def hold_signals() -> None:
    """Keep signals that ask for the end until ``on_signal`` listens for them.

    To be called in the main thread before any other is started: threads inherit what is held. Nobody
    else gets these signals from then on, kopf, which would put handlers of its own in place, among them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def on_signal(stop: asyncio.Event, *, patience_seconds: float) -> None:
    """Set ``stop`` in the running loop at the first signal, and see to it that the process ends.

    A thread waits for the signals, so that they are heard while the loop is busy or stuck, too. A process
    that has not ended ``patience_seconds`` after the first signal, or before a second one, is ended with status 0.
    """
    loop = asyncio.get_running_loop()

    def listen() -> None:
        number = signal.sigwait(SIGNALS)
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        _say("asked to end", signal=signal.Signals(number).name)
        if signal.sigtimedwait(SIGNALS, patience_seconds) is None:
            _say("ended before everything was done", seconds=patience_seconds)
        else:
            _say("asked to end once more")
        os._exit(0)

    threading.Thread(target=listen, name="signals", daemon=True).start()


def end_within(seconds: float, status: int) -> None:
    """See to it that this process has ended after so many seconds, with this status unless it ends before."""

    def late() -> None:
        _say("ended before everything was done", seconds=seconds)
        os._exit(status)

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()


def end(status: int) -> NoReturn:
    """End this process now, whatever its threads still wait for."""
    _within(LAST_WORDS_SECONDS, logging.shutdown)
    os._exit(status)


def _say(event: str, **values: object) -> None:
    _within(LAST_WORDS_SECONDS, partial(log.info, event, **values))


def _within(seconds: float, act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
