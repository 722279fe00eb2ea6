"""The machine's clocks."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Wall time, and the monotonic time that asyncio sleeps by."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump; the same clock as a running loop's ``time()``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
