"""One form for everybody's log lines, and no secrets in them."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from twinops.logs import catch_everything, configure


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    streams = sys.stdout, sys.stderr
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    sys.stdout, sys.stderr = streams
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
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


def prints() -> None:
    print("half a ", end="")  # noqa: T201 - as a library may
    print("line\n\nand another")  # noqa: T201


def warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("soon gone", ResourceWarning, stacklevel=1)


def dies_in_a_thread() -> None:
    thread = threading.Thread(target=lambda: 1 / 0, name="worker")
    thread.start()
    thread.join()


def dies_in_a_finalizer() -> None:
    class Bad:
        def __del__(self) -> None:
            raise ValueError("at the end")

    Bad()


def dies() -> None:
    error = SystemError("nobody catches this")
    sys.excepthook(SystemError, error, None)


def says_what_does_not_fit() -> None:
    logging.getLogger("some.library").warning("took %d s", "three")


@pytest.mark.parametrize(
    ("does", "told"),
    [
        pytest.param(prints, [("printed", "half a line"), ("printed", "and another")], id="print"),
        pytest.param(warns, [("soon gone", "")], id="warning"),
        pytest.param(dies_in_a_thread, [("thread crashed", "ZeroDivisionError")], id="thread"),
        pytest.param(dies_in_a_finalizer, [("exception ignored", "at the end")], id="finalizer"),
        pytest.param(dies, [("crashed", "nobody catches this")], id="uncaught"),
        pytest.param(says_what_does_not_fit, [("a line could not be written", "took %d s")], id="bad-log-call"),
    ],
)
def test_what_goes_around_the_log_is_led_into_it(
    does: Callable[[], None], told: list[tuple[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    catch_everything()
    does()
    written = lines(stream)
    assert len(written) == len(told)
    for line, (event, inside) in zip(written, told, strict=True):
        assert event in line["event"]
        assert inside in json.dumps(line)
    assert capfd.readouterr() == ("", "")
