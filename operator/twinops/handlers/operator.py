"""How kopf itself is set up: no scanning, no events of its own, our names on what it writes."""

from __future__ import annotations

from typing import Any

import kopf

from twinops.api import DAEMON_FINALIZER, TOUCHED_ANNOTATION
from twinops.controllers.shared.sync_loop import FINISH_SECONDS, SyncLoop
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.handlers import dependencies, twins


class NothingDiffed(kopf.DiffBaseStorage):
    """Keeps no last-handled state: no handler of ours compares with one.

    kopf's own storages would read it from annotations, and choke on what anybody may write there.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing to compare: kopf would copy every object whole, at every event."""
        return kopf.BodyEssence()

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

    def touch(self, *, patch: kopf.Patch, value: str | None, **_: Any) -> None:
        """Change the object a little.

        Only the event that the API server sends of it brings kopf back to a daemon that had not ended when
        it looked last. Whatever stands there already, by whomever, is written over and never read. It is
        not taken back (None), which would cost a request: only twins that are being deleted are touched.
        """
        if value is not None:
            patch.metadata.annotations[TOUCHED_ANNOTATION] = value

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Have nothing to hide."""
        return essence


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
    # kopf looks at a daemon once and, when it has not ended by then, again only after an event that kopf itself
    # has to cause. So it waits, which holds up nothing but this twin's own events: our daemons do end.
    settings.background.instant_exit_timeout = FINISH_SECONDS + twins.FORCED_SECONDS
    settings.background.cancellation_polling = 2
    # While kopf is put off by an error, a twin's events do not reach us either; by default for up to ten minutes.
    settings.queueing.error_delays = (1, 1, 2, 3, 5, 8, 10)
    return settings


def kopf_registry(*, ticker: SyncLoop, watching: WatchEvents, kubeconfig: str | None) -> kopf.OperatorRegistry:
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
