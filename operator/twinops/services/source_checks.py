"""Whether each MetricsSource answers, in its own status: what an administrator looks at first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
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
DOWN_PERIOD_SECONDS = 5.0
"""A source that does not answer is looked at this often: a mended Secret tells nobody."""

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
    """Asks every source something small every half minute, more often while it is down, at once when it changes.

    Args:
        sources: the MetricsSources.
        backend: asks them.
        telemetry: learns which answered.
        clock: wall time for the conditions.
        recovered: called with the name of a source that answers again.
    """

    def __init__(
        self,
        sources: CheckedSources,
        backend: MetricsBackend,
        telemetry: Telemetry,
        clock: Clock,
        *,
        recovered: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._backend = backend
        self._telemetry = telemetry
        self._clock = clock
        self._recovered = recovered
        self._up: dict[str, bool | None] = {}
        self._news: set[str] = set()
        self._hurry = asyncio.Event()

    def seen(self, name: str) -> None:
        """Check this source from now on, and now."""
        self._up.setdefault(name, None)
        self._news.add(name)
        self._hurry.set()

    def gone(self, name: str) -> None:
        """Stop checking this source."""
        self._up.pop(name, None)
        self._news.discard(name)
        self._telemetry.source_gone(name)

    async def run(self) -> None:
        """Check for ever."""
        checked_all = self._clock.monotonic() - PERIOD_SECONDS
        while True:
            self._hurry.clear()
            now = self._clock.monotonic()
            everyone = now - checked_all >= PERIOD_SECONDS
            if everyone:
                checked_all = now
            due = [name for name, up in self._up.items() if everyone or not up or name in self._news]
            self._news.clear()
            await asyncio.gather(*(self._check(name) for name in sorted(due)))
            try:
                async with asyncio.timeout(DOWN_PERIOD_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                continue

    async def _check(self, name: str) -> None:
        try:
            body = await self._sources.get(name)
            up, reason, message = await self._probe(name)
            self._telemetry.source_answered(name, up=up)
            before = self._up.get(name)
            if name in self._up:
                self._up[name] = up
            if up and before is False:
                self._recovered(name)
            await self._tell(name, body, up=up, reason=reason, message=message)
        except NotFound:
            self.gone(name)
        except ClusterError as error:
            log.debug("source not checked", source=name, error=str(error))
        except Exception:  # One source that answers in an unheard-of way must not end the checks of all others.
            log.exception("source check crashed", source=name)

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
