"""Building, with a `go` that takes no time: what ends up in the cache, and what never does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devcluster.build import build
from devcluster.cache import build_lock, program_dir
from devcluster.errors import BuildError
from devcluster.programs import APISERVER, HELM
from devcluster.waiting import wait_until

FAKE_GO = """#!/bin/sh
case "$1" in
version) echo "go version go1.99.0 test/test" ;;
build)
  echo "$@" >>"$FAKE_GO_CALLS"
  while [ "$1" != -o ]; do shift; done
  echo program >"$2"
  [ -z "$FAKE_GO_FAILS" ] || { echo "dial https://registry.example.net/x: refused"; exit 1; }
  ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake Go on PATH; its builds are listed in the returned file."""
    folder = tmp_path / "fake-go"
    folder.mkdir()
    go = folder / "go"
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_GO_CALLS", str(calls))
    return calls


def contents(cache: Path) -> list[str]:
    """Return the names of all files in the cache but the lock."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != "build.lock")


def test_a_build_arrives_whole_and_is_not_done_twice(calls: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    build([HELM], cache)
    build([HELM], cache)
    assert contents(cache) == ["helm"]
    assert (program_dir(HELM, cache) / "helm").read_text() == "program\n"
    assert len(calls.read_text().splitlines()) == 1


def test_the_version_is_linked_in(calls: Path, tmp_path: Path) -> None:
    build([APISERVER], tmp_path / "cache")
    assert "-X=k8s.io/component-base/version.gitVersion=v1.36.3" in calls.read_text()


def test_a_failed_build_says_why_and_leaves_nothing(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "yes")
    cache = tmp_path / "cache"
    with pytest.raises(BuildError) as caught:
        build([HELM], cache)
    told = str(caught.value)
    assert "dial <host>/x: refused" in told
    assert "hint:" in told
    assert calls.read_text()
    assert contents(cache) == []


def test_the_second_of_two_runs_waits_for_the_first(
    calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    second = threading.Thread(target=build, args=([HELM], cache))
    said = ""

    def waits() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "another run is building" in said

    with build_lock(cache):
        second.start()
        wait_until(waits, within=10, what="the second run says that it waits")
        # What the first run builds meanwhile.
        program_dir(HELM, cache).mkdir(parents=True)
    second.join(timeout=10)
    assert not second.is_alive()
    assert calls.read_text() == ""


def test_what_a_killed_run_left_is_swept(calls: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    left = cache / "bin" / "unfinished-abc"
    left.mkdir(parents=True)
    (left / "helm").touch()
    build([HELM], cache)
    assert contents(cache) == ["helm"]
    assert calls.read_text()
