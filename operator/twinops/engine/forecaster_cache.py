"""The histories of all twins, by UID."""

from __future__ import annotations

import asyncio

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.result import ForecastResult
from twinops.engine.forecast_input import ForecastInput
from twinops.engine.forecaster_key import ForecasterKey
from twinops.engine.history import TwinHistory
from twinops.engine.history_loader import HistoryLoader
from twinops.ports.metrics import MetricsBackend, SourceAccess


class ForecasterCache:
    """Keeps the history of every twin, with the forecaster that was learned from it.

    It is a cache: a restart learns everything again from the metrics backend and the restart states in status.

    Args:
        backend: where range queries are sent.
        loads: as in ``HistoryLoader``.
        patience_seconds: as in ``HistoryLoader``.
    """

    def __init__(self, backend: MetricsBackend, *, loads: int = 4, patience_seconds: float = 3.0) -> None:
        self._loader = HistoryLoader(backend, loads=loads, patience_seconds=patience_seconds)
        self._histories: dict[str, TwinHistory] = {}

    async def update(
        self, uid: str, source: SourceAccess, spec: DigitalTwinSpec, forecast_input: ForecastInput
    ) -> ForecastResult:
        """Take in what a sync gathered, and return the forecasts as of now.

        The history is read anew when a metric's query (and so its window), the source, the step, the horizons or
        the length changes. Gaps of more than one slot, which long intervals and outages leave, are read with the
        next sync that has values.

        Args:
            uid: the twin's.
            source: the twin's MetricsSource.
            spec: the twin's.
            forecast_input: what the sync gathered.
        """
        key = ForecasterKey.of(uid, source, spec)
        history = self._histories.get(uid)
        if history is None or history.key != key:
            self.drop(uid)
            history = self._histories[uid] = TwinHistory(uid, key)
        return await self._loader.sync(history, source, forecast_input)

    def drop(self, uid: str) -> None:
        """Forget a twin."""
        history = self._histories.pop(uid, None)
        if history is not None:
            history.close()

    async def aclose(self) -> None:
        """Forget all twins."""
        running = [task for history in self._histories.values() for task in history.tasks]
        for uid in list(self._histories):
            self.drop(uid)
        await asyncio.gather(*running, return_exceptions=True)
