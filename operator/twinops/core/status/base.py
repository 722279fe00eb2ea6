"""What every rendering of a status shares."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.availability import GRACE_SECONDS
from twinops.core.status.columns import action_words

UNKNOWN = "unknown"
"""What a column says of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Sync:
    """The circumstances of one sync.

    Attributes:
        generation: ``metadata.generation`` of the spec that was synced.
        now: Unix seconds.
        request: value of the ``sync-requested-at`` annotation, None when there is none.
        grace_seconds: how long a last verdict stands without anything new behind it.
    """

    generation: int
    now: float
    request: str | None
    grace_seconds: float = GRACE_SECONDS


def base(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status before, with what this sync speaks of.

    What was done last is told whatever comes of the sync: a value may have been given back meanwhile.
    """
    done = {"last_action": action_words(previous.corrections)}
    return previous.model_copy(
        update={
            "observed_generation": sync.generation,
            "last_sync_time": utc(sync.now),
            "last_handled_sync_request": sync.request,
            "summary": previous.summary and previous.summary.model_copy(update=done),
        }
    )
