"""One twin as a sync of it began."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.record import TwinObject, TwinRecord
from twinops.core.status.base import Sync
from twinops.errors import SpecError
from twinops.ports.kubernetes import TwinRef


@dataclass(frozen=True, slots=True, eq=False)
class TwinAtSync:
    """A twin, and the circumstances of one of its syncs.

    Attributes:
        record: what is kept of the twin.
        object: the twin as it was when the sync began; a write carries its resourceVersion.
        sync: generation, time and request of the sync.
        written: the status as it stood on the API server when the sync began.
        previous: the status as last computed, which may be newer than ``written``. What lasts from one sync to the
            next is read from it.
    """

    record: TwinRecord
    object: TwinObject
    sync: Sync
    written: DigitalTwinStatus
    previous: DigitalTwinStatus

    @classmethod
    def begin(cls, record: TwinRecord, *, now: float, grace_seconds: float) -> TwinAtSync:
        """Return the twin as it stands now.

        Args:
            record: the twin's.
            now: Unix seconds.
            grace_seconds: how long a last verdict stands without anything new behind it.

        Raises:
            StatusUnreadable: the saved values in the twin's status cannot be read.
        """
        twin, written, computed = record.object, record.written(), record.daemon.computed
        sync = Sync(generation=twin.generation, now=now, request=twin.request, grace_seconds=grace_seconds)
        return cls(record, twin, sync, written, written if computed is None else computed)

    @property
    def ref(self) -> TwinRef:
        """Return the twin's name and UID."""
        return self.record.ref

    @property
    def spec(self) -> DigitalTwinSpec | None:
        """Return the spec, None when it cannot be read."""
        return None if isinstance(self.object.spec, SpecError) else self.object.spec

    @property
    def asked(self) -> bool:
        """Tell whether a person has asked for this sync."""
        return self.sync.request != self.previous.last_handled_sync_request

    @property
    def backs_off(self) -> bool:
        """Tell whether a write that was refused waits for its next attempt.

        A person who asks for a sync, or changes the spec, may have removed the cause: then it is tried at once.
        """
        return not self.asked and self.previous.observed_generation == self.sync.generation
