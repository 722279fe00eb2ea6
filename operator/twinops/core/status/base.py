"""What all renderings of a status share: the circumstances of the sync, and the fields that every sync sets."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.availability import GRACE_SECONDS
from twinops.core.status.columns import action_words

UNKNOWN = "unknown"
"""Text of a column whose value is not known."""


@dataclass(frozen=True, slots=True)
class Sync:
    """The circumstances of one sync.

    Attributes:
        generation: ``metadata.generation`` of the spec that was synced.
        now: Unix seconds.
        request: value of the ``sync-requested-at`` annotation, None when there is none.
        grace_seconds: how long the last known verdicts hold without a fresh value.
    """

    generation: int
    now: float
    request: str | None
    grace_seconds: float = GRACE_SECONDS


def base(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status before, with generation, time and request of this sync.

    The column of the last action is set, too, whatever the sync's result: a saved value may have been restored
    meanwhile.
    """
    last_action = {"last_action": action_words(previous.corrections)}
    return previous.model_copy(
        update={
            "observed_generation": sync.generation,
            "last_sync_time": utc(sync.now),
            "last_handled_sync_request": sync.request,
            "summary": previous.summary and previous.summary.model_copy(update=last_action),
        }
    )
