"""The end of the process: signals that ask for it, and time limits within which it must be over."""

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
"""Longest time for writing the last log lines: a reader that is stuck must not keep the process from ending."""


def hold_signals() -> None:
    """Block the signals that ask the process to end until ``on_signal`` waits for them.

    Call it in the main thread before any other thread is started, since threads inherit the signal mask. From then on
    no other handler gets these signals, in particular not those that kopf installs.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def on_signal(stop: asyncio.Event, *, patience_seconds: float) -> None:
    """Set ``stop`` in the running loop at the first signal, and end the process if it does not end by itself.

    A thread waits for the signals, so that they are handled while the loop is busy or stuck, too. A process
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
    """End this process with this status after so many seconds, unless it has ended before."""

    def late() -> None:
        _say("ended before everything was done", seconds=seconds)
        os._exit(status)

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()


def end(status: int) -> NoReturn:
    """End this process now, without waiting for its threads."""
    _within(LAST_WORDS_SECONDS, logging.shutdown)
    os._exit(status)


def _say(event: str, **values: object) -> None:
    _within(LAST_WORDS_SECONDS, partial(log.info, event, **values))


def _within(seconds: float, act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
