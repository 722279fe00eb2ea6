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
    │   ├── MetricsBusy              no answer, but the backend may be well: a slow query or a full queue
    │   └── NoAnswer                 no answer within the time-out (``adapters.prometheus.transport``)
    ├── QueryFailed                  one query failed (``adapters.prometheus.transport``); becomes a value, never raised
    │                                beyond the adapter
    ├── StatusUnreadable             the originals in a twin's status cannot be read: its status must not be written
    ├── LeadershipLost               this process does not hold the lease: it must not write
    └── ClusterError                 the Kubernetes API answered with an error, or not at all
        ├── NotFound                 404
        ├── Conflict                 409: the object changed, exists already, or another manager owns the field
        ├── Refused                  any other 4xx, such as 400, 403 and 422: the same request will be refused again
        └── Unavailable              401, 408, 410, 429, 5xx, time-outs and broken connections; try again

Adapters translate a client's error once and keep it as ``__cause__``. Controllers catch these errors and turn them
into conditions, Events and delays; no handler raises kopf's own errors.
"""

from __future__ import annotations


class TwinOpsError(Exception):
    """Base of every error TwinOps raises on purpose."""


class SettingsError(TwinOpsError):
    """The operator's own configuration cannot be used."""


class InputError(TwinOpsError):
    """An argument or a file of a command cannot be used. The message says which, and how to correct it."""


class SpecError(TwinOpsError):
    """A person must act before this twin can work.

    Args:
        reason: CamelCase reason of the ``Stalled`` condition.
        message: what is wrong, where, and how to correct it.
    """

    reason = "InvalidSpec"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        """Set the message and, if given, a reason other than that of the class."""
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
    """No query was answered, but the source may be well: queries were too slow, or waited too long for a connection."""


class StatusUnreadable(TwinOpsError):
    """The originals in a twin's status cannot be read; writing the status would lose them."""


class LeadershipLost(TwinOpsError):
    """This process does not hold the lease, or cannot be sure that it does: it must not write."""


class ClusterError(TwinOpsError):
    """The Kubernetes API answered with an error, or not at all.

    Args:
        message: the request and the message of the answer.
        status: HTTP status, 0 when there was no answer.
        retry_after: seconds of the answer's ``Retry-After``, None without one.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        """Set message, status and delay."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class NotFound(ClusterError):
    """The object does not exist (404)."""


class Conflict(ClusterError):
    """The object changed since it was read, exists already, or another manager owns the field (409)."""


class Refused(ClusterError):
    """The request is invalid or forbidden and will be refused again (4xx without a subclass of its own)."""


class Unavailable(ClusterError):
    """The API server is overloaded or out of reach (401, 408, 410, 429, 5xx, broken connection). Try again."""
