"""Structured logs: ours and everybody else's in one form, on standard error, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

QUIET = ("kopf", "kopf.objects", "kubernetes", "aiohttp", "asyncio", "urllib3")
"""They speak at INFO of every tick and at DEBUG of request headers; from them only warnings pass."""

SECRET_WORDS = ("token", "password", "passwd", "secret_value", "authorization", "cookie", "api_key", "private_key")
"""A key that contains one of these never has its value logged."""

HIDDEN = "(hidden)"


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
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of keys that sound like secrets. A structlog processor."""
    for key in event:
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = HIDDEN
    return event


def _renderers(form: str) -> list[structlog.types.Processor]:
    if form == "console":
        return [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The richer one prints local variables, and credentials with them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
