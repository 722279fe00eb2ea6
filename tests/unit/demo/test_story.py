from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from demo import scenario, stages
from demo.load.measure import Second, Summary
from demo.load.profile import Segment
from demo.show import Screen
from demo.stage import Play, Report, Stage, StoryFailed
from demo.stages import STAGES
from demo.story import LONGEST_SECONDS, Story, write_result
from demo.twin import Twin
from demo.verdict import shortcomings
from demo.world import World

SET_UP_SECONDS = 40


@dataclass
class StubCluster:
    """Answers kubectl; its output is of no interest here."""

    commands: list[tuple[str, ...]] = field(default_factory=list)

    def kubectl(self, *args: str) -> str:
        self.commands.append(args)
        return "output of kubectl"


@dataclass
class StubWorld:
    """A stage set without anything behind it; the real one is the demonstration's own business."""

    objects: dict[str, Any] = field(default_factory=dict)
    now: float = 100.0
    cluster: StubCluster = field(default_factory=StubCluster)
    load: tuple[Segment, ...] = ()
    measured: Report = field(default_factory=dict)

    def get(self, path: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self.objects.get(path, {}))

    def go(self, segments: tuple[Segment, ...]) -> float:
        self.load = segments
        return self.now

    def load_time(self) -> float:
        return self.now

    def report(self, _start: float, _end: float) -> Report:
        return self.measured

    def check(self) -> None:
        pass


def summary(*, over: int, p95: float = 150, failed: float = 0.0) -> Summary:
    return Summary(
        requests=1000, failed_share=failed, p95_ms=p95, seconds_over=over, replica_seconds=600, most_replicas=10
    )


def report(*, twinned: Summary, plain: Summary) -> Report:
    seconds = [Second(at=at, offered=20, failed=0, p95_ms=150, replicas=3) for at in range(100)]
    return {scenario.TWINNED: (twinned, seconds), scenario.PLAIN: (plain, seconds)}


BETTER = report(twinned=summary(over=2), plain=summary(over=60, p95=2000, failed=0.1))


def play_of(**objects: Any) -> Play:
    return Play(cast("World", StubWorld(objects=objects)))


def twin(**status: Any) -> Twin:
    return Twin({"status": status})


def observed(**values: float) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


RISK = {"metric": "cpuUsage", "message": "CPU may reach 85% in 60 seconds"}


def test_all_deadlines_together_keep_the_promise() -> None:
    assert SET_UP_SECONDS + sum(stage.within for stage in STAGES) <= LONGEST_SECONDS <= 480


def test_stages_have_names_of_their_own_and_a_hint() -> None:
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    assert all(stage.hint for stage in STAGES)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(twin(), id="no status yet"),
        pytest.param(twin(observed=observed(cpuUsage=40)), id="nothing foreseen"),
        pytest.param(twin(observed=[{"name": "cpuUsage"}]), id="a value that is missing"),
    ],
)
def test_the_risk_is_waited_for(before: Twin) -> None:
    assert stages._foresees_risk(play_of(), before) == ""


def test_a_risk_told_in_time_is_what_the_stage_waits_for() -> None:
    play = play_of()
    play.climb_began = 80
    told = stages._foresees_risk(play, twin(observed=observed(cpuUsage=50), risks=[RISK]))
    assert "20 s into the climb" in told
    assert RISK["message"] in told
    assert play.moments == {"risk foreseen": 20}


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(twin(observed=observed(cpuUsage=90)), id="limit crossed, nothing told"),
        pytest.param(twin(observed=observed(cpuUsage=90), risks=[RISK]), id="told when crossed already"),
        pytest.param(twin(observed=observed(cpuUsage=50, latencyMs=900), risks=[RISK]), id="customers suffer already"),
    ],
)
def test_a_risk_that_comes_too_late_ends_the_story(late: Twin) -> None:
    with pytest.raises(StoryFailed, match="limit"):
        stages._foresees_risk(play_of(), late)


RAISED = {"action": "Raise", "outcome": "Applied", "why": "CPU is foreseen at 102%"}


def autoscaler(minimum: int, *managers: str) -> dict[str, Any]:
    return {
        "metadata": {"managedFields": [{"manager": manager} for manager in managers]},
        "spec": {"minReplicas": minimum},
    }


@pytest.mark.parametrize(
    ("record", "hpa", "done"),
    [
        pytest.param(RAISED, autoscaler(6, "kubectl", "twinops"), True, id="raised"),
        pytest.param(RAISED, autoscaler(3, "kubectl", "twinops"), False, id="only said so"),
        pytest.param(RAISED, autoscaler(6, "kubectl"), False, id="somebody else raised it"),
        pytest.param({**RAISED, "outcome": "Previewed"}, autoscaler(6, "twinops"), False, id="only previewed"),
        pytest.param({**RAISED, "action": "GiveBack"}, autoscaler(6, "twinops"), False, id="given back"),
        pytest.param(RAISED, {}, False, id="no HPA"),
    ],
)
def test_a_correction_counts_when_the_autoscaler_shows_it(
    record: dict[str, Any], hpa: dict[str, Any], *, done: bool
) -> None:
    play = play_of(**{stages._HPA: hpa})
    assert bool(stages._is_corrected(play, twin(corrections=[record]))) is done


@pytest.mark.parametrize(
    ("twinned", "plain", "fault"),
    [
        pytest.param(summary(over=2), summary(over=60, p95=2000, failed=0.1), "", id="clearly better"),
        pytest.param(summary(over=0), summary(over=0), "fewer than", id="nobody suffered, nothing shown"),
        pytest.param(summary(over=55), summary(over=60, p95=2000), "fewer than", id="hardly better"),
        pytest.param(summary(over=40), summary(over=60, p95=2000), "more than", id="better, but not clearly"),
        pytest.param(summary(over=2, p95=2000), summary(over=60, p95=2000), "no better", id="p95 no better"),
        pytest.param(
            summary(over=2, failed=0.2),
            summary(over=60, p95=2000, failed=0.1),
            "more requests failed",
            id="more failed",
        ),
    ],
)
def test_the_verdict(twinned: Summary, plain: Summary, fault: str) -> None:
    found = shortcomings(twinned, plain)
    assert bool(found) is bool(fault)
    assert fault in " ".join(found)


def story(world: StubWorld, *played: Stage) -> Story:
    return Story(cast("World", world), played, Screen(), time.monotonic())


def measure(play: Play, _twin: Twin) -> str:
    play.report = play.world.report(0, 0)
    return "measured"


MEASURED = Stage(name="measured", title="Measured", until=measure, within=5, hint="")


def test_a_story_that_comes_out_well_is_told_and_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    world = StubWorld(measured=BETTER)
    opening = Stage(
        name="opening",
        title="The load climbs",
        until=lambda _play, _twin: "it climbed",
        within=5,
        hint="",
        load=(Segment(1, 2),),
        commands=(("get", "digitaltwins"),),
    )
    played = story(world, opening, MEASURED)
    played.play()
    told = capsys.readouterr().out
    assert world.load == (Segment(1, 2),)
    for part in ("The load climbs", "it climbed", "$ kubectl get digitaltwins", "output of kubectl", "58 of 60"):
        assert part in told
    write_result(tmp_path / "new" / "result.json", played.result())
    assert '"seconds_over": 60' in (tmp_path / "new" / "result.json").read_text()


def test_a_step_that_does_not_happen_is_named_with_its_hint() -> None:
    never = Stage(name="never", title="Never", until=lambda _play, _twin: "", within=0, hint="look there")
    with pytest.raises(StoryFailed, match=r"(?s)step 1, “never”: it did not happen within 0 s.*look there"):
        story(StubWorld(measured=BETTER), never).play()


def test_the_story_fails_when_the_twin_was_of_no_use() -> None:
    useless = report(twinned=summary(over=60, p95=2000), plain=summary(over=60, p95=2000))
    with pytest.raises(StoryFailed, match="not clearly better off"):
        story(StubWorld(measured=useless), MEASURED).play()
