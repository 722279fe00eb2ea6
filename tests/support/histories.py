"""A history loader, with the histories that the operator keeps in the records of twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.result import ForecastResult
from twinops.engine.forecast_input import ForecastInput
from twinops.engine.history import TwinHistory
from twinops.engine.history_loader import HistoryLoader
from twinops.ports.metrics import MetricsBackend, SourceAccess


@dataclass
class HistoryHolder:
    """Stands for the record of a twin."""

    uid: str
    history: TwinHistory | None = None


class Histories:
    """Holds one history per twin. Arguments as for ``HistoryLoader``."""

    def __init__(self, backend: MetricsBackend, **more: Any) -> None:
        self.loader = HistoryLoader(backend, **more)
        self.holders: dict[str, HistoryHolder] = {}

    async def sync(
        self, uid: str, source: SourceAccess, spec: DigitalTwinSpec, forecast_input: ForecastInput
    ) -> ForecastResult:
        holder = self.holders.setdefault(uid, HistoryHolder(uid))
        return await self.loader.sync(holder, source, spec, forecast_input)

    def of(self, uid: str) -> TwinHistory | None:
        return self.holders[uid].history if uid in self.holders else None

    def drop(self, uid: str) -> None:
        """Forget a twin, as the store does."""
        if (history := self.of(uid)) is not None:
            history.close()
        self.holders.pop(uid, None)

    async def aclose(self) -> None:
        await self.loader.aclose()
