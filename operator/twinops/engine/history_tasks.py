"""The tasks of a twin's history: a read in flight, and the whole backtest that follows a short one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from twinops.engine.forecast_input import SlotInput

MAX_WAITING = 240
"""Syncs that wait for a read in flight, at most; of more, the oldest are dropped."""


class ReadKind(Enum):
    """What is read from the metrics backend."""

    LOAD = "the whole history, for the first time"
    RELOAD = "the whole history again: of other queries, or since it is outdated, or was not readable before"
    FILL = "the slots between the last sync and this one"


@dataclass(slots=True, eq=False)
class Read:
    """A read in flight.

    Attributes:
        kind: what is read.
        task: reads, and learns from what it read.
        waiting: inputs of syncs since, oldest first; only the newest one until the read has begun.
        begun: whether the read has had its turn; it reads up to the newest sync of that moment.
    """

    kind: ReadKind
    task: asyncio.Task[None]
    waiting: list[SlotInput]
    begun: bool = False

    def wait(self, slot_input: SlotInput) -> None:
        """Keep the input of a sync until the read ends. Inputs from before it begins are part of what it reads."""
        self.waiting = [*self.waiting, slot_input][-MAX_WAITING:] if self.begun else [slot_input]


@dataclass(slots=True, eq=False)
class WarmUp:
    """A whole backtest that waits for its turn or is being computed.

    Attributes:
        task: computes it.
        missed: inputs since what it learns from was read, oldest first.
    """

    task: asyncio.Task[None]
    missed: list[SlotInput] = field(default_factory=list)
