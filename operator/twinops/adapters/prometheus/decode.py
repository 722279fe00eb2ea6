"""Decodes the numbers in Prometheus' JSON results.

Source: Prometheus "HTTP API", section "Expression query result formats".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twinops.core.metrics.queries import InstantAnswer
from twinops.ports.metrics import RangeAnswer

NOT_DECODABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What the functions here raise for a result of another type."""

_LAST_TIME = 1e12
"""Unix seconds; a later time is refused, since its slot number would not fit into an integer."""


def instant(result: list[Any]) -> InstantAnswer:
    """Decode a scalar or an instant vector.

    Raises:
        ValueError, TypeError, KeyError, IndexError: the result is neither, for example a range vector or a
            native histogram.
    """
    if not result or isinstance(result[0], dict):
        return InstantAnswer(values=tuple(float(series["value"][1]) for series in result))
    _time, value = result
    return InstantAnswer(values=(float(value),))


def ranges(result: list[Any]) -> RangeAnswer:
    """Decode a matrix.

    Raises:
        ValueError, TypeError, KeyError, IndexError: the result is something else.
    """
    series = []
    for entry in result:
        pairs = entry["values"]
        times = np.array([float(pair[0]) for pair in pairs])
        if not (np.abs(times) < _LAST_TIME).all():
            raise ValueError("a time that is none")
        # Converting a list of floats is faster than numpy's own parser of strings.
        values = np.array([float(pair[1]) for pair in pairs])
        series.append((times, values))
    return RangeAnswer(series=tuple(series))
