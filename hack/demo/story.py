"""Plays the stages, one after the other, and judges how it came out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo import scenario
from demo.show import Screen, clock, comparison, state_of
from demo.stage import Play, Stage, StoryFailed
from demo.twin import PATH, Twin
from demo.verdict import shortcomings
from demo.world import World
from devcluster.errors import ApiError, CommandError
from devcluster.waiting import POLL_SECONDS

LONGEST_SECONDS = 480.0
"""The whole demonstration, set-up included (building programs for the first time aside)."""

_POLL_SECONDS = 10 * POLL_SECONDS


class Story:
    """The stages on their way.

    Args:
        world: the stage set, started.
        stages: what is played.
        screen: where it is shown.
        began: when the demonstration began, by `time.monotonic`.
    """

    def __init__(self, world: World, stages: Sequence[Stage], screen: Screen, began: float) -> None:
        self._play = Play(world)
        self._stages = stages
        self._screen = screen
        self._began = began
        self._told: list[dict[str, Any]] = []

    def play(self) -> None:
        """Play all stages, and compare both shops.

        Raises:
            StoryFailed: it did not come out as told; the text names the stage.
        """
        for number, stage in enumerate(self._stages, start=1):
            self._screen.say()
            self._screen.say(f"━━ {number}/{len(self._stages)}  {stage.title}")
            try:
                self._perform(stage)
            except StoryFailed as failed:
                raise StoryFailed(f"step {number}, “{stage.name}”: {failed}\n{stage.hint}") from failed
        self._compare()

    def result(self) -> dict[str, Any]:
        """Return what happened, ready for JSON."""
        shops = {
            name: {"summary": asdict(summary), "seconds": [asdict(second) for second in seconds]}
            for name, (summary, seconds) in self._play.report.items()
        }
        return {"stages": self._told, "momentsInClimb": self._play.moments, "shops": shops}

    def _perform(self, stage: Stage) -> None:
        start = time.monotonic()
        if stage.load:
            self._play.world.go(stage.load)
        if stage.act:
            stage.act(self._play)
        remark = self._await(stage, start)
        seconds = time.monotonic() - start
        self._told.append({"stage": stage.name, "seconds": round(seconds, 1), "remark": remark})
        self._screen.say(f"{clock(time.monotonic() - self._began)} ✓ {remark}", indent="   ")
        for command in stage.commands:
            self._show(command)

    def _await(self, stage: Stage, start: float) -> str:
        deadline = min(start + stage.within, self._began + LONGEST_SECONDS)
        while True:
            try:
                remark = stage.until(self._play, Twin(self._play.world.get(PATH)))
            except (ApiError, OSError) as error:
                remark, trouble = "", f" ({error})"
            else:
                trouble = ""
            if remark:
                return remark
            now = time.monotonic()
            if now > deadline:
                raise StoryFailed(f"it did not happen within {deadline - start:.0f} s{trouble}")
            self._play.world.check()
            self._screen.wait(now - self._began, self._glance)
            time.sleep(_POLL_SECONDS)

    def _glance(self) -> str:
        try:
            # The newest second whose answers are all there.
            second = int(self._play.world.load_time() - scenario.CLIENT_TIMEOUT_SECONDS) - 1
            state = state_of(self._play.world.report(second, second + 1))
        except OSError as error:
            state = f"the load generator does not answer: {error}"
        return f"{clock(time.monotonic() - self._began)}  {state}"

    def _show(self, command: tuple[str, ...]) -> None:
        shown = " ".join("'" + part + "'" if "{" in part else part for part in command)
        self._screen.say(f"$ kubectl {shown}" if len(shown) < 100 else f"$ kubectl {shown[:97]}…", indent="   ")  # noqa: PLR2004
        try:
            output = self._play.world.cluster.kubectl(*command)
        except CommandError as error:
            raise StoryFailed(str(error)) from error
        self._screen.say("\n".join(f"   {line}" for line in output.rstrip().splitlines()))

    def _compare(self) -> None:
        report = self._play.report
        self._screen.say("\n".join(f"   {line}" for line in comparison(report).splitlines()))
        twinned, plain = (report[name][0] for name in scenario.NAMESPACES)
        found = shortcomings(twinned, plain)
        if found:
            raise StoryFailed("the shop with a twin was not clearly better off:\n" + "\n".join(found))
        saved = plain.seconds_over - twinned.seconds_over
        self._screen.say()
        self._screen.say(
            f"The twin spared its customers {saved} of {plain.seconds_over} bad seconds, and "
            f"{plain.failed_share - twinned.failed_share:.1%} of all requests from failing.",
            indent="   ",
        )


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write the result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
