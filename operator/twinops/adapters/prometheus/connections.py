"""What sends the requests to one source, as those see it that decide which to send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twinops.core.metrics.queries import InstantAnswer
from twinops.engine.fair_semaphore import Key, Permit


class Connections(Protocol):
    """What sends requests; see ``Endpoint``."""

    answered_at: float

    async def permit(self, who: Key, patience: float, *, background: bool) -> Permit:
        """Wait for a free connection."""
        ...

    async def ask_one(self, promql: str, at: float, permit: Permit | None) -> InstantAnswer:
        """Send one query, and release the permit."""
        ...

    async def ask_joined(
        self, texts: Sequence[str], at: float, permit: Permit, *, check: bool, seconds: float
    ) -> Sequence[InstantAnswer | None]:
        """Send several as one, and release the permit."""
        ...
