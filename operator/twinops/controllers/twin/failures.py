"""What the status says after a sync that failed, and after how many seconds the next sync tries again."""

from __future__ import annotations

import structlog

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.status_writer import WriteOutcome
from twinops.controllers.twin.observe import Observer, Unmeasured
from twinops.controllers.twin.publish import Publisher
from twinops.controllers.twin.twin_at_sync import TwinAtSync
from twinops.core.rights import refusal
from twinops.core.status.failed import (
    is_lasting,
    render_cluster_failed,
    render_crashed,
    render_metrics_failed,
    render_stalled,
)
from twinops.errors import (
    ClusterError,
    Conflict,
    MetricsUnavailable,
    NotFound,
    Refused,
    SpecError,
    TargetNotFound,
)

log = structlog.get_logger()


class FailedSyncs:
    """Publishes what a failed sync means for a twin. Each method returns the seconds until the next attempt.

    Args:
        observer: says which metrics are unavailable.
        publisher: writes statuses.
    """

    def __init__(self, observer: Observer, publisher: Publisher) -> None:
        self._observer = observer
        self._publisher = publisher

    async def stalled(self, twin: TwinAtSync, error: SpecError) -> float:
        """Say that a person must act: spec, source or target cannot be used."""
        status = render_stalled(twin.previous, twin.sync, error.reason, str(error))
        pause = twin.record.failed(Failure.TARGET if isinstance(error, TargetNotFound) else Failure.SYNC)
        return await self._publish(twin, status) or pause

    async def metrics_unavailable(self, twin: TwinAtSync, spec: DigitalTwinSpec, error: MetricsUnavailable) -> float:
        """Say that the metrics backend did not answer."""
        samples = self._observer.unavailable(spec, error, twin.previous, twin.sync.now)
        workload = error.workload if isinstance(error, Unmeasured) else None
        status = render_metrics_failed(twin.previous, twin.sync, samples, str(error), workload)
        pause = twin.record.failed(Failure.SOURCE)
        return await self._publish(twin, status) or pause

    async def cluster_error(self, twin: TwinAtSync, error: ClusterError) -> float:
        """Say that the API server refused or did not answer, once that lasts."""
        log.warning("cluster did not answer", namespace=twin.ref.namespace, twin=twin.ref.name, error=str(error))
        pause = twin.record.failed(Failure.SYNC, at_least=error.retry_after or 0)
        if isinstance(error, (Conflict, NotFound)):
            # What was read is out of date. Nothing is wrong with the twin.
            return pause
        status = render_cluster_failed(twin.previous, twin.sync, refusal(str(error), error.status))
        if not isinstance(error, Refused) and not is_lasting(status, twin.sync):
            # An API server in trouble must not get a write from every twin because of it.
            self._publisher.keep(twin, status)
            return pause
        return max(pause, await self._publish(twin, status) or 0)

    async def crashed(self, twin: TwinAtSync) -> None:
        """Say that a defect of the operator ended the sync. The sync loop decides when the next one begins."""
        status = render_crashed(twin.previous, twin.sync)
        # The finalizer stays: what this sync has changed is not known.
        await self._publisher.publish(twin, status, holds=True)

    async def _publish(self, twin: TwinAtSync, status: DigitalTwinStatus) -> float | None:
        outcome = await self._publisher.publish(twin, status, holds=bool(status.originals))
        return retry_write(twin.record, outcome)


def retry_write(record: TwinRecord, outcome: WriteOutcome) -> float | None:
    """Count the outcome of a status write, and return the seconds until the next sync where the write failed.

    None where it succeeded, was skipped, or cannot succeed any more because the twin is gone or this process does not
    lead.
    """
    match outcome:
        case WriteOutcome.CONFLICT:
            # Somebody else wrote the status: the next sync starts from that one, not from what was computed here.
            record.daemon.computed = None
            return record.failed(Failure.CONFLICT)
        case WriteOutcome.UNAVAILABLE | WriteOutcome.REFUSED:
            return record.failed(Failure.WRITE)
        case WriteOutcome.WRITTEN:
            record.succeeded(Failure.CONFLICT, Failure.WRITE)
            return None
        case WriteOutcome.SKIPPED | WriteOutcome.GONE | WriteOutcome.FENCED:
            return None
