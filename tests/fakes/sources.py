"""MetricsSources in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from fakes.objects import FakeObjects
from twinops.api.source.spec import MetricsSourceSpec
from twinops.errors import ClusterError, NotFound, SourceInvalid
from twinops.ports.kubernetes import SourceRef
from twinops.ports.metrics import SourceAccess

URL = "http://prometheus:9090"


class FakeSources(FakeObjects[SourceRef]):
    """Holds sources by uid; reads them by name, too.

    ``read_fault`` is raised by every read by name, and while ``secret_missing`` no source can be used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read_fault: ClusterError | None = None
        self.secret_missing = False

    def add(self, name: str, *, status: Mapping[str, Any] | None = None) -> SourceRef:
        return self.keep(SourceRef("", name, f"uid-{name}"), {"url": URL}, status)

    async def read(self, name: str) -> Mapping[str, Any]:
        if self.read_fault is not None:
            raise self.read_fault
        for body in self.bodies.values():
            if body["metadata"]["name"] == name:
                return copy.deepcopy(body)
        raise NotFound("gone", status=404)

    async def access(self, name: str) -> SourceAccess:
        if self.secret_missing:
            raise SourceInvalid("Secret token is missing: create it")
        return SourceAccess(name, MetricsSourceSpec(url=URL))
