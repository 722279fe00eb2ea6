"""What a twin's forecaster depends on as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.metrics.durations import sync_step
from twinops.core.schedule import fraction
from twinops.engine.time_grid import TimeGrid
from twinops.ports.metrics import SourceAccess


@dataclass(frozen=True, slots=True)
class ForecasterKey:
    """Everything that makes another forecaster necessary when it changes.

    Credentials are left out: tokens change every hour, and the data behind them stays the same.

    Attributes:
        source: name of the MetricsSource.
        url: of the metrics backend.
        headers: sent with every query, sorted.
        grid: of the twin's values.
        horizons: seconds.
        history_seconds: length of the history.
        learned: whether a baseline is learned, too.
    """

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    grid: TimeGrid
    horizons: tuple[int, ...]
    history_seconds: int
    learned: bool

    @classmethod
    def of(cls, uid: str, source: SourceAccess, spec: DigitalTwinSpec) -> ForecasterKey:
        """Return the key of a twin's forecaster."""
        step = sync_step(spec.sync_frequency_seconds)
        return cls(
            source=source.name,
            url=source.spec.url,
            headers=tuple(sorted(source.spec.headers.items())),
            # Syncs are scheduled on this grid, see ``core.schedule``: their values fall in the middle of a slot.
            grid=TimeGrid(step, int(fraction(uid) * spec.sync_frequency_seconds) % step),
            horizons=tuple(spec.predictions.horizons_seconds),
            history_seconds=spec.predictions.history_seconds,
            learned=spec.expected_state.learned,
        )
