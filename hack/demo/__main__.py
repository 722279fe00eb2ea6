"""`make demo`: play the story on a control plane of its own, and say how it came out."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from demo import scenario
from demo.load.profile import Segment
from demo.show import Screen, clock
from demo.stage import StoryFailed
from demo.stages import STAGES
from demo.story import Story, write_result
from demo.twin import PATH
from demo.world import World
from devcluster.errors import DevClusterError

_DIRECTORY = Path(__file__).parents[2] / ".demo"
_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration and return its exit status."""
    options = _parser().parse_args(argv)
    screen = Screen()
    # Whoever ends us, every process ends with us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with _alone(options.directory):
            return _run(options, screen)
    except (DevClusterError, OSError) as error:
        screen.say(f"\n✗ {error}\nLogs: {options.directory / 'cluster' / 'logs'}")
        return 1
    except KeyboardInterrupt:
        screen.say("\nended")
        return _INTERRUPTED


def _run(options: argparse.Namespace, screen: Screen) -> int:
    screen.say("TwinOps: two identical shops, the same load; one of them has a digital twin.")
    started = time.monotonic()
    world = World(
        options.directory, lambda step: screen.say(f"{clock(time.monotonic() - started)} {step}", indent="   ")
    )
    began = time.monotonic()
    with world:
        story = Story(world, STAGES, screen, began)
        try:
            story.play()
        except StoryFailed as failed:
            screen.say(f"\n✗ {failed}\nLogs: {world.logs}")
            return 1
        finally:
            write_result(options.result, story.result())
            write_result(world.logs / "digitaltwin.json", world.get(PATH))
        screen.say(f"\n✓ The whole story in {clock(time.monotonic() - began)}. Figures: {options.result}")
        if screen.terminal and not options.end:
            _stay(world, screen)
    return 0


def _stay(world: World, screen: Screen) -> None:
    world.go((Segment(seconds=30, to=scenario.BASE_RATE),))
    screen.say(
        "\nThe rush is over. When the need has been below for ten minutes, the twin gives minReplicas back.\n"
        "It all stays up until Ctrl-C. In another terminal, try:\n"
    )
    kubectl = world.cluster.bin_dir / "kubectl"
    for command in (
        f'export KUBECONFIG={quote(str(world.cluster.kubeconfig))} PATH={quote(str(kubectl.parent))}:"$PATH"',
        "kubectl get digitaltwins -A -w",
        f"kubectl get dt {scenario.APP} -n {scenario.TWINNED} -o yaml",
        f"kubectl describe hpa {scenario.APP} -n {scenario.TWINNED}",
        f"kubectl get events -n {scenario.TWINNED}",
        "kubectl top pods -A",
    ):
        screen.say(f"  {command}")
    screen.say(f"\n  Prometheus: {world.cluster.prometheus_url}   logs: {world.logs}")
    try:
        while True:
            time.sleep(1)
            world.check()
    except KeyboardInterrupt:
        screen.say("\nending")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"a demonstration is running already in {directory}"
            raise DevClusterError(message) from error
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--directory", type=Path, default=_DIRECTORY, help="for logs and data (default: %(default)s)")
    parser.add_argument("--result", type=Path, default=_DIRECTORY / "result.json", help="JSON file with the figures")
    parser.add_argument("--end", action="store_true", help="end after the story, at a terminal too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
