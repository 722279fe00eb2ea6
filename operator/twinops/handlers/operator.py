"""How kopf itself is set up: no scanning, no events of its own, our names on what it writes."""

from __future__ import annotations

from typing import Any

import kopf

from twinops.api import GROUP
from twinops.handlers import dependencies, twins
from twinops.services.ticker import Ticker
from twinops.services.watching import Watching


class NothingDiffed(kopf.DiffBaseStorage):
    """Keeps no last-handled state: no handler of ours compares with one.

    kopf's own storages would read it from annotations, and choke on what anybody may write there.
    """

    def fetch(self, **_: Any) -> None:
        """Find nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NothingInProgress(kopf.ProgressStorage):
    """Keeps no progress, for the same reason: daemons and watches have none."""

    def fetch(self, **_: Any) -> None:
        """Find nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Have nothing to remove."""

    def touch(self, **_: Any) -> None:
        """Have nothing to touch."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Have nothing to hide."""
        return essence


DAEMON_FINALIZER = f"{GROUP}/daemon"
"""Held by every twin whose daemon runs; kopf puts it on and takes it off."""


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings, for the reasons measured in this project."""
    settings = kopf.OperatorSettings()
    # Changing this name after the first release would leave the old one on every twin.
    settings.persistence.finalizer = DAEMON_FINALIZER
    settings.persistence.progress_storage = NothingInProgress()
    settings.persistence.diffbase_storage = NothingDiffed()
    # All kinds are known: watching CRDs and namespaces would only ask for more rights.
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.networking.request_timeout = 15
    # Our own recorder posts one Event per transition.
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    # By default a deleted twin could wait a minute for its daemon to be looked at again.
    settings.background.cancellation_polling = 2
    settings.background.instant_exit_timeout = 0.1
    return settings


def kopf_registry(*, ticker: Ticker, watching: Watching, kubeconfig: str | None) -> kopf.OperatorRegistry:
    """Return a registry with all our handlers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        # Read anew whenever the API server answers 401: projected tokens change every hour.
        in_pod = None if kubeconfig else kopf.login_with_service_account(**kwargs)
        return in_pod or kopf.login_with_kubeconfig(**kwargs)

    twins.register(registry, ticker=ticker, watching=watching)
    dependencies.register(registry, watching=watching)
    return registry
