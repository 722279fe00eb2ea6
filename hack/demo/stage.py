"""What a stage of the story is. The stages themselves stand in `stages`, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from demo.load.measure import Second, Summary
from demo.load.profile import Segment
from demo.twin import Twin
from demo.world import World

Report = dict[str, tuple[Summary, list[Second]]]


class StoryFailed(Exception):
    """The story cannot come out as told any more; the text says why."""


@dataclass
class Play:
    """What the stages share while the story is played.

    Attributes:
        world: the stage set.
        climb_began: when the load began to climb, on the load's clock.
        report: what the customers of both shops experienced since then, once it was measured.
        moments: seconds after `climb_began` at which something worth a mark happened, by its name.
    """

    world: World
    climb_began: float = 0.0
    report: Report = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> float:
        """Note that something happened now, the first time only; return its seconds after the climb began."""
        return self.moments.setdefault(name, round(self.world.load_time() - self.climb_began, 1))


Condition = Callable[[Play, Twin], str]
"""Returns what came true, in a few words, or an empty string while it has not. May raise StoryFailed."""

Act = Callable[[Play], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the story.

    Attributes:
        name: short and unique, for the verdict and the result file.
        title: what happens, one line.
        until: the condition that ends the stage.
        within: deadline for it, seconds.
        hint: where to look when it did not come true.
        load: what the load does from the beginning of this stage on; empty: as before.
        act: done at the beginning, after the load was set.
        commands: kubectl commands, shown with their output when the condition came true.
    """

    name: str
    title: str
    until: Condition
    within: float
    hint: str
    load: tuple[Segment, ...] = ()
    act: Act | None = None
    commands: tuple[tuple[str, ...], ...] = ()
