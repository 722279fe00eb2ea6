"""A process ends when it is to, whatever its threads do."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

BEGIN = """
import threading, time
from twinops import logs
from twinops.adapters import process
process.hold_signals()
logs.configure("info", "json")
"""


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        pytest.param("process.end_within(0.1, 7); time.sleep(600)", 7, ["ended before everything was done"], id="late"),
        pytest.param(
            "threading.Thread(target=time.sleep, args=(600,)).start(); process.end(3)", 3, [], id="a-thread-that-waits"
        ),
    ],
)
def test_it_ends_with_its_status(code: str, status: int, told: list[str]) -> None:
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == told
    assert time.monotonic() - began < 30
