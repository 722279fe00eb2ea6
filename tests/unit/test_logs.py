"""One form for everybody's log lines, and no secrets in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from twinops.logs import configure


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_are_json_with_a_constant_message_and_keys() -> None:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    structlog.get_logger("twinops.x").info("synced", twin="checkout", seconds=0.2)
    (line,) = lines(stream)
    assert (line["event"], line["twin"], line["seconds"]) == ("synced", "checkout", 0.2)
    assert (line["level"], line["logger"]) == ("info", "twinops.x")
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries_have_the_same_form() -> None:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    logging.getLogger("some.library").warning("took %d s", 3)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("took 3 s", "warning", "some.library")


@pytest.mark.parametrize("name", ["kopf.objects", "kopf._core.engines", "kubernetes.aio.client.rest", "urllib3"])
def test_chatty_libraries_are_quiet_even_at_debug(name: str) -> None:
    stream = io.StringIO()
    configure("debug", "json", stream=stream)
    logging.getLogger(name).info("Timer succeeded.")
    logging.getLogger(name).warning("something is wrong")
    assert [line["event"] for line in lines(stream)] == ["something is wrong"]


def test_the_level_holds_for_our_lines() -> None:
    stream = io.StringIO()
    configure("warning", "json", stream=stream)
    structlog.get_logger("twinops.y").info("synced")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("key", ["token", "bearer_token", "Authorization", "password", "basic_auth_password"])
@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_hidden(form: str, key: str) -> None:
    stream = io.StringIO()
    configure("info", form, stream=stream)
    structlog.get_logger("twinops.z").info("asked", **{key: "s3cret"})
    logging.getLogger("some.library").warning("asked", extra={key: "s3cret"})
    assert "s3cret" not in stream.getvalue()
    assert stream.getvalue().count("(hidden)") == 2


def test_exceptions_are_told_in_one_line() -> None:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    try:
        int("broken")
    except ValueError:
        structlog.get_logger("twinops.e").exception("sync crashed")
    (line,) = lines(stream)
    assert "ValueError: invalid literal" in line["exception"]


def test_the_console_form_is_readable() -> None:
    stream = io.StringIO()
    configure("info", "console", stream=stream)
    structlog.get_logger("twinops.c").info("synced", twin="checkout")
    assert "synced" in stream.getvalue()
    assert "twin=checkout" in stream.getvalue()
