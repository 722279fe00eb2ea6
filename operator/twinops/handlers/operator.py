"""kopf's settings and the registry of our handlers."""

from __future__ import annotations

from typing import Any

import kopf

from twinops.api import DAEMON_FINALIZER, TOUCHED_ANNOTATION
from twinops.controllers.shared.sync_loop import FINISH_SECONDS, SyncLoop
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.handlers import dependencies, twins


class NothingDiffed(kopf.DiffBaseStorage):
    """Stores no last-handled state, since no handler of ours compares with it.

    kopf's own storages read it from annotations, and fail on invalid content, which anybody may write there.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an empty essence; kopf's default copies every object at every event."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Return None."""

    def store(self, **_: Any) -> None:
        """Do nothing."""


class NothingInProgress(kopf.ProgressStorage):
    """Stores no progress, for the same reason; daemons and event handlers have none."""

    def fetch(self, **_: Any) -> None:
        """Return None."""

    def store(self, **_: Any) -> None:
        """Do nothing."""

    def purge(self, **_: Any) -> None:
        """Do nothing."""

    def touch(self, *, patch: kopf.Patch, value: str | None, **_: Any) -> None:
        """Set an annotation on the object, to cause a watch event.

        kopf checks a daemon that has not ended yet again only at the object's next event. The annotation is
        overwritten and never read. It is not removed (None), which would cost a request: only twins that are being
        deleted are touched.
        """
        if value is not None:
            patch.metadata.annotations[TOUCHED_ANNOTATION] = value

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence unchanged."""
        return essence


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings, each with its reason."""
    settings = kopf.OperatorSettings()
    # Changing this name after the first release would leave the old one on every twin.
    settings.persistence.finalizer = DAEMON_FINALIZER
    settings.persistence.progress_storage = NothingInProgress()
    settings.persistence.diffbase_storage = NothingDiffed()
    # All kinds are known: watching CRDs and namespaces would need further rights.
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.networking.request_timeout = 15
    # Our own recorder posts one Event per transition.
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    # kopf checks a daemon once and, when it has not ended by then, again only after an event that kopf itself has to
    # cause. So let it wait for the daemon to end; only this twin's own events are delayed meanwhile.
    settings.background.instant_exit_timeout = FINISH_SECONDS + twins.FORCED_SECONDS
    settings.background.cancellation_polling = 2
    # While kopf backs off after an error, a twin's events do not reach us; by default for up to ten minutes.
    settings.queueing.error_delays = (1, 1, 2, 3, 5, 8, 10)
    return settings


def kopf_registry(*, sync_loop: SyncLoop, watching: WatchEvents, kubeconfig: str | None) -> kopf.OperatorRegistry:
    """Return a registry with all our handlers.

    Args:
        sync_loop: runs the daemons.
        watching: receives the watch events.
        kubeconfig: path; None for the pod's service account, else the default kubeconfig.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        # Called again when the API server answers 401: projected tokens expire after an hour.
        in_pod = None if kubeconfig else kopf.login_with_service_account(**kwargs)
        return in_pod or kopf.login_with_kubeconfig(**kwargs)

    twins.register(registry, sync_loop=sync_loop, watching=watching)
    dependencies.register(registry, watching=watching)
    return registry
