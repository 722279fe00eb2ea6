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
        """Seconds of a clock that never jumps; the same one as a running loop's ``time()``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        await asyncio.sleep(seconds)
