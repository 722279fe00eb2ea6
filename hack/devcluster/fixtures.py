"""A pytest plugin: one control plane for the whole run, one namespace per test.

Load it by `-p devcluster.fixtures`. Override `cluster_options` in a `conftest.py` to run the
cluster otherwise.
"""

from __future__ import annotations

import re
import secrets
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import pytest

from devcluster.binaries import Binaries
from devcluster.cluster import DevCluster, programs_of
from devcluster.errors import ApiError, BinaryError
from devcluster.options import ClusterOptions
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager

_NAMESPACE_SECONDS = 15.0
_NAMESPACE_LENGTH = 40

_running = pytest.StashKey[DevCluster]()


@pytest.fixture(scope="session")
def cluster_options() -> ClusterOptions:
    """How the cluster of the run is set up; override it to choose otherwise."""
    return ClusterOptions()


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cluster_options: ClusterOptions,
) -> Iterator[DevCluster]:
    """The control plane of the whole run; programs it lacks are built first."""
    directory = tmp_path_factory.mktemp("devcluster")
    with _seen_by_the_user(request.config):
        running = DevCluster(directory, cluster_options)
        running.start()
    request.config.stash[_running] = running
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: DevCluster) -> Iterator[str]:
    """Name of a fresh namespace; it is deleted afterwards without waiting."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:_NAMESPACE_LENGTH]
    name = f"{readable.strip('-')}-{secrets.token_hex(3)}"
    path = f"/api/v1/namespaces/{name}"
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    # Pods are refused as long as it is missing.
    wait_until(
        lambda: cluster.api.get(f"{path}/serviceaccounts/default"),
        within=_NAMESPACE_SECONDS,
        what=f"namespace {name} has its default service account",
        retry_on=(ApiError,),
    )
    try:
        yield name
    finally:
        cluster.api.delete(path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build what is missing before the first test, whose time limit is not meant for that."""
    wanted = any("cluster" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    # If it fails, it fails again in the fixture, where only those who need it are hit.
    with _seen_by_the_user(session.config), suppress(BinaryError):
        Binaries().ensure(programs_of(ClusterOptions()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell beside a failure where the cluster's logs are."""
    report = yield
    running = item.config.stash.get(_running, None)
    if running and report.failed and "cluster" in getattr(item, "fixturenames", ()):
        report.sections.append(("local cluster", f"logs: {running.logs_dir}"))
    return report


def _seen_by_the_user(config: pytest.Config) -> AbstractContextManager[None]:
    capture = config.pluginmanager.getplugin("capturemanager")
    disabled: AbstractContextManager[None] | None = capture.global_and_fixture_disabled() if capture else None
    return disabled or nullcontext()
