"""Every error TwinOps raises on purpose.

::

    TwinOpsError
    ├── SettingsError                the operator's own configuration cannot be used
    ├── InputError                   what a person gave a command cannot be used
    ├── SpecError                    a person must act: the twin, its source or its target
    │   ├── TargetNotFound
    │   ├── SourceNotFound
    │   ├── SourceInvalid
    │   └── QueryRefused
    ├── MetricsUnavailable           the metrics backend did not answer; try again
    │   └── MetricsBusy              it may be well: the query was too slow, or its turn did not come
    ├── StatusUnreadable             a twin's own originals cannot be read: leave it alone
    ├── LeadershipLost               this process must not write any more
    └── ClusterError                 the Kubernetes API said no
        ├── NotFound                 404
        ├── Conflict                 409, the object changed or another manager owns the field
        ├── Refused                  400, 403, 422: the same request will be refused again
        └── Unavailable              429, 5xx, time-outs and broken connections; try again

Adapters translate a client's error once and keep it as ``__cause__``. Only handlers choose between
kopf's temporary and permanent errors.
"""

from __future__ import annotations


class TwinOpsError(Exception):
    """Base of every error TwinOps raises on purpose."""


class SettingsError(TwinOpsError):
    """The operator's own configuration cannot be used."""


class InputError(TwinOpsError):
    """What a person gave a command, its arguments or a file, cannot be used. Says where, and how to mend it."""


class SpecError(TwinOpsError):
    """A person must act before this twin can work.

    Args:
        reason: CamelCase reason of the ``Stalled`` condition.
        message: what is wrong, where, and how to mend it.
    """

    reason = "InvalidSpec"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        """Keep the message and, where given, a more exact reason."""
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class TargetNotFound(SpecError):
    """The object that ``spec.source.targetRef`` names does not exist."""

    reason = "TargetNotFound"


class SourceNotFound(SpecError):
    """The ``MetricsSource`` that the twin names does not exist."""

    reason = "MetricsSourceNotFound"


class SourceInvalid(SpecError):
    """The ``MetricsSource`` exists but cannot be used, for example because its Secret is missing."""

    reason = "MetricsSourceInvalid"


class QueryRefused(SpecError):
    """Prometheus refused a query as bad data."""

    reason = "QueryRefused"


class MetricsUnavailable(TwinOpsError):
    """The metrics backend did not answer, or answered with a server error. Try again."""


class MetricsBusy(MetricsUnavailable):
    """There is no answer, which says nothing of the source: a query was too slow, or its turn did not come."""


class StatusUnreadable(TwinOpsError):
    """The originals in a twin's status cannot be read; writing the status would lose them."""


class LeadershipLost(TwinOpsError):
    """This process does not hold the lease (any more), or cannot be sure that it does: it must not write."""


class ClusterError(TwinOpsError):
    """The Kubernetes API answered with an error.

    Args:
        message: what was asked and what the API server said.
        status: HTTP status, 0 when there was no answer.
        retry_after: seconds the server asked to wait, where it did.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        """Keep status and wait beside the message."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class NotFound(ClusterError):
    """The object does not exist (404)."""


class Conflict(ClusterError):
    """The object changed since it was read, or another manager owns the field (409)."""


class Refused(ClusterError):
    """The request is invalid or forbidden and will be refused again (400, 403, 422)."""


class Unavailable(ClusterError):
    """The API server is overloaded or out of reach (429, 5xx, time-out). Try again."""
