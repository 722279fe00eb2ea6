"""Why a metric has no value that is real and fresh: the reasons of samples, as status and conditions show them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class SampleReason(StrEnum):
    """The reasons that gathering metrics gives; a SpecError of a query brings its own."""

    NO_QUERY = "NoQuery"
    NO_REQUESTS_OR_LIMITS = "NoRequestsOrLimits"
    NO_SCOPE = "NoScope"
    NO_SUCH_SERIES = "NoSuchSeries"
    EMPTY_RESULT = "EmptyResult"
    STALE_SAMPLES = "StaleSamples"
    NOT_A_NUMBER = "NotANumber"
    INFINITE = "Infinite"
    MANY_SERIES = "ManySeries"
    ONE_BUCKET = "OneBucket"
    OPEN_BUCKET = "OpenBucket"
    PARTIAL_ANSWER = "PartialAnswer"
    QUERY_REFUSED = "QueryRefused"
    QUERY_NOT_ASKED = "QueryNotAsked"
    QUERY_FAILED = "QueryFailed"
    METRICS_UNAVAILABLE = "MetricsUnavailable"


NOT_APPLICABLE: Final = frozenset({SampleReason.NO_REQUESTS_OR_LIMITS, SampleReason.NO_SCOPE})
"""The system cannot have this metric. For any other reason a person can correct the query."""

NEVER_MEASURED: Final = NOT_APPLICABLE | {SampleReason.NO_QUERY}
"""No query is sent, so there was never a value. Series that are not found now may have existed before."""

NOTHING_FOUND: Final = frozenset({SampleReason.NO_SUCH_SERIES, SampleReason.EMPTY_RESULT})
"""The queries gave no result; before the next sync asks for all candidates it probes whether series exist."""

WITHOUT_HISTORY: Final = frozenset({SampleReason.QUERY_REFUSED, SampleReason.MANY_SERIES})
"""The query cannot have a history: a range query would be refused or give several series, too."""
