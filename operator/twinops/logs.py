"""Structured logs on standard error: records of this program and of libraries in one format, without secrets."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from twinops.printable import printable, printable_lines

QUIET = ("kopf", "kopf.objects", "kubernetes", "aiohttp", "asyncio", "urllib3")
"""Loggers of which only warnings are logged: at INFO they log every call of a handler, at DEBUG request headers."""

SECRET_WORDS = ("token", "password", "passwd", "secret_value", "authorization", "cookie", "api_key", "private_key")
"""Values of keys that contain one of these are replaced by ``HIDDEN``."""

HIDDEN = "(hidden)"

LONGEST_VALUE = 2000
"""Bound of a value or message, in characters."""

LONGEST_ITEM = 200
MOST_ITEMS = 20
"""Bounds of a list: characters per item, and items."""

LONGEST_TRACEBACK = 8000
"""Bound of a traceback, in characters; the middle of a longer one is left out."""

_LINES = frozenset({"exception", "stack"})
_PLAIN = (int, float, bool, type(None))

LONGEST_PRINTED = 10_000
"""Characters after which an unfinished printed line is logged."""

_log_name = "twinops.logs"
_log = structlog.get_logger(_log_name)


def configure(level: str, form: str, *, stream: TextIO | None = None) -> None:
    """Set up logging for the whole process.

    Args:
        level: debug, info, warning or error.
        form: ``json`` (one object per line) or ``console``.
        stream: where lines go; standard error unless given.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *(p for p in shared if not isinstance(p, structlog.stdlib.ExtraAdder)),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Set the least level that is logged: debug, info, warning or error."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def catch_everything() -> None:
    """Send to the log what would bypass it.

    These are uncaught exceptions, also in threads and finalizers, warnings, and text printed to standard streams.
    """
    sys.excepthook = lambda kind, error, trace: _log.critical("crashed", exc_info=(kind, error, trace))
    threading.excepthook = lambda args: _log.error(
        "thread crashed", thread=args.thread.name if args.thread else "", exc_info=_info(args)
    )
    sys.unraisablehook = lambda args: _log.error("exception ignored", where=repr(args.object), exc_info=_info(args))
    logging.captureWarnings(capture=True)
    sys.stdout, sys.stderr = _Printed("stdout"), _Printed("stderr")


class _Printed(io.TextIOBase):
    """Replaces a standard stream: each line becomes a log record."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._tell(line)
        if len(self._begun) > LONGEST_PRINTED:
            self._tell(self._begun)
            self._begun = ""
        return len(text)

    def _tell(self, line: str) -> None:
        if line.strip():
            _log.warning("printed", stream=self._name, line=line)


def _info(args: Any) -> tuple[Any, Any, Any]:
    # The exception is None when there was no memory to create it.
    return args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback


class _Handler(logging.StreamHandler[Any]):
    """Writes records, and logs an error in the same format when one could not be formatted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Log that the record was dropped; do nothing when the stream itself fails."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) or record.name == _log_name:
            return
        _log.error(
            "a line could not be written", of=record.name, message=str(record.msg)[:200], error=repr(error)[:200]
        )


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of keys that contain a secret word. A structlog processor."""
    for key in event:
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = HIDDEN
    return event


def make_printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Bound the length of all values and replace control characters. A structlog processor."""
    for key, value in event.items():
        if key in _LINES:
            event[key] = printable_lines(_text(value), LONGEST_TRACEBACK)
        elif isinstance(value, (list, tuple)):
            event[key] = [printable(_text(each), LONGEST_ITEM) for each in value[:MOST_ITEMS]]
        elif not isinstance(value, _PLAIN):
            event[key] = printable(_text(value), LONGEST_VALUE)
    return event


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except Exception as error:  # noqa: BLE001 - a value whose str() fails must not lose the record
        return f"({type(value).__name__} that cannot be shown: {type(error).__name__})"


def _renderers(form: str) -> list[structlog.types.Processor]:
    # Plain tracebacks: the richer ones print local variables, and credentials with them.
    bounded: list[structlog.types.Processor] = [structlog.processors.format_exc_info, make_printable]
    if form == "console":
        return [*bounded, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [*bounded, structlog.processors.JSONRenderer(default=str)]
