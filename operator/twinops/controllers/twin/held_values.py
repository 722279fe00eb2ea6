"""What a twin holds, read from the live objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import structlog

from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import Original
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.correction.bounds import original_of
from twinops.core.correction.events import taken_up
from twinops.core.correction.original_annotation import recovered
from twinops.core.correction.records import with_original
from twinops.core.events import Event
from twinops.core.observation import Lever, Observation
from twinops.errors import NotFound, Refused, SpecError
from twinops.ports.kubernetes import Levers, TwinRef

log = structlog.get_logger()

Key = tuple[ObjectRef, str]
"""An object and one of its fields."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What the twin holds, as it is now.

    Attributes:
        unread: what we may not read.
    """

    levers: dict[Key, Lever]
    unread: set[Key] = field(default_factory=set)


class HeldValues:
    """Reads what twins hold.

    Args:
        levers: reads HPAs and ``/scale``.
    """

    def __init__(self, levers: Levers) -> None:
        self._levers = levers

    async def take_up(
        self, ref: TwinRef, observation: Observation, previous: DigitalTwinStatus, noted_on_twin: str
    ) -> tuple[Observation, DigitalTwinStatus, tuple[Event, ...]]:
        """Take up a value that we raised and of which status knows nothing, for it was lost or the twin made anew."""
        lever = observation.lever
        if lever is None or observation.rival or observation.holder or original_of(previous, lever) is not None:
            return observation, previous, ()
        if recovered(lever, noted_on_twin, observation.now) is None:
            return observation, previous, ()
        # It is rare, and what was seen may be older than what status says.
        lever = await self._levers.read(ref.namespace, lever.object, lever.field)
        original = recovered(lever, noted_on_twin, observation.now)
        if original is None:
            return replace(observation, lever=lever), previous, ()
        event = taken_up(original)
        log.info("taken up", namespace=ref.namespace, twin=ref.name, message=event.message)
        status = previous.model_copy(update={"originals": with_original(previous.originals, original)})
        return replace(observation, lever=lever), status, (event,)

    async def read(self, ref: TwinRef, originals: Iterable[Original], *, known: Lever | None) -> Held:
        """Read everything the twin holds; what is gone is left out.

        Raises:
            Unavailable: the API server did not answer.
        """
        held = Held({(known.object, known.field): known} if known else {})
        for original in originals:
            key = (original.object, original.field)
            if key in held.levers:
                continue
            try:
                held.levers[key] = await self._levers.read(ref.namespace, *key)
            except Refused as error:
                log.warning("held value not read", namespace=ref.namespace, twin=ref.name, error=str(error))
                held.unread.add(key)
            except (NotFound, SpecError):
                continue
        return held
