"""An event recorder in memory."""

from __future__ import annotations

from twinops.core.events import Event


class FakeEvents:
    """Keeps what was posted. Each Event must name its object, as the API server demands."""

    def __init__(self) -> None:
        self.posted: list[Event] = []

    def post(self, event: Event) -> None:
        assert event.about.name, event
        assert event.about.uid, event
        self.posted.append(event)

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.posted]

    @property
    def types_and_reasons(self) -> list[str]:
        return [f"{event.type} {event.reason}" for event in self.posted]
