"""Manifests that tests start from, and a way to change them."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

SPEC: Json = {
    "source": {"systemType": "WebService", "targetRef": {"name": "checkout"}},
    "expectedState": {"metrics": {"cpuUsage": 50, "latencyMs": 120}},
}
"""The shortest useful spec of a twin."""

SOURCE_SPEC: Json = {"url": "http://prometheus.monitoring:9090"}
"""The shortest spec of a MetricsSource."""


def merged(base: Json, patch: Json) -> Json:
    """Return ``base`` changed by a JSON merge patch (RFC 7386): None takes a field away."""
    result = copy.deepcopy(base)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result
