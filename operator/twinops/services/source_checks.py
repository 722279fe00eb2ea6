"""Whether each MetricsSource answers, in its own status: what an administrator looks at first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from twinops.api.conditions import ConditionType
from twinops.api.source import MetricsSourceStatus
from twinops.core.conditions import Conditions
from twinops.errors import ClusterError, MetricsUnavailable, NotFound, SpecError
from twinops.services.ports import Clock, MetricsBackend, SourceAccess, Telemetry

log = structlog.get_logger()

PERIOD_SECONDS = 30.0
PROBE = "vector(1)"
"""Needs no series at all, so that only the endpoint itself is tested."""


class CheckedSources(Protocol):
    """Reads MetricsSources and writes their status."""

    async def access(self, name: str) -> SourceAccess:
        """Return the source with its credentials. Raises SpecError when it cannot be used."""
        ...

    async def get(self, name: str) -> Mapping[str, Any]:
        """Return the source as it is now. Raises NotFound."""
        ...

    async def write_status(
        self, name: str, status: MetricsSourceStatus, *, uid: str, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace the status. Raises Conflict when the source changed."""
        ...


class SourceChecks:
    """Asks every source something small every half minute, and at once when it changes.

    Args:
        sources: the MetricsSources.
        backend: asks them.
        telemetry: learns which answered.
        clock: wall time for the conditions.
    """

    def __init__(self, sources: CheckedSources, backend: MetricsBackend, telemetry: Telemetry, clock: Clock) -> None:
        self._sources = sources
        self._backend = backend
        self._telemetry = telemetry
        self._clock = clock
        self._names: set[str] = set()
        self._hurry = asyncio.Event()

    def seen(self, name: str) -> None:
        """Check this source from now on, and now."""
        self._names.add(name)
        self._hurry.set()

    def gone(self, name: str) -> None:
        """Stop checking this source."""
        self._names.discard(name)
        self._telemetry.source_gone(name)

    async def run(self) -> None:
        """Check for ever."""
        while True:
            self._hurry.clear()
            await asyncio.gather(*(self._check(name) for name in sorted(self._names)))
            try:
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                continue

    async def _check(self, name: str) -> None:
        try:
            body = await self._sources.get(name)
            up, reason, message = await self._probe(name)
            self._telemetry.source_answered(name, up=up)
            await self._tell(name, body, up=up, reason=reason, message=message)
        except NotFound:
            self.gone(name)
        except ClusterError as error:
            log.debug("source not checked", source=name, error=str(error))

    async def _probe(self, name: str) -> tuple[bool, str, str]:
        try:
            access = await self._sources.access(name)
            answer = (await self._backend.instant(access, [PROBE], self._clock.now()))[0]
        except SpecError as error:
            return False, error.reason, str(error)
        except MetricsUnavailable as error:
            return False, "MetricsBackendUnavailable", str(error)
        if answer.error:
            return False, "QueryRefused", f"the endpoint refuses {PROBE}: {answer.error}"
        return True, "Answering", "the endpoint answers queries"

    async def _tell(self, name: str, body: Mapping[str, Any], *, up: bool, reason: str, message: str) -> None:
        meta = body["metadata"]
        before = _status_of(body)
        conditions = Conditions(before.conditions, now=self._clock.now(), generation=meta.get("generation", 0))
        if up:
            conditions.yes(ConditionType.READY, reason, message)
        else:
            conditions.no(ConditionType.READY, reason, message)
        status = MetricsSourceStatus(observed_generation=meta.get("generation", 0), conditions=conditions.listed())
        if status != before:
            await self._sources.write_status(name, status, uid=meta["uid"], resource_version=meta["resourceVersion"])


def _status_of(body: Mapping[str, Any]) -> MetricsSourceStatus:
    try:
        return MetricsSourceStatus.from_wire(body.get("status") or {})
    except ValidationError:
        return MetricsSourceStatus()
