"""The command line: up, down, env, status, build."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from devcluster import daemon
from devcluster.__main__ import NOWHERE
from devcluster.binaries import Binaries
from devcluster.console import emit, say
from devcluster.errors import DevClusterError
from devcluster.programs import BY_NAME
from devcluster.state import State

_DEFAULT_DIR = Path(__file__).parents[2] / ".devcluster"
_INTERRUPTED = 130

Command = Callable[[argparse.Namespace], int]


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    options = _parser().parse_args(argv)
    command: Command = options.command
    try:
        return command(options)
    except DevClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _up(options: argparse.Namespace) -> int:
    if state := daemon.running(options.dir):
        say("the cluster is up already")
        _describe(options, state)
        return 0
    Binaries().ensure()
    began = time.monotonic()

    def ready(state: State) -> None:
        say(f"the cluster is up ({time.monotonic() - began:.1f} s)")
        _describe(options, state)

    if options.wait:
        daemon.serve(options.dir, on_ready=ready)
    else:
        ready(daemon.start(options.dir))
    return 0


def _serve(options: argparse.Namespace) -> int:
    daemon.serve(options.dir, on_ready=lambda _state: None)
    return 0


def _down(options: argparse.Namespace) -> int:
    stopped = daemon.stop(options.dir)
    say("the cluster is down" if stopped else "no cluster was up")
    return 0


def _env(options: argparse.Namespace) -> int:
    state = _running(options)
    for name, value in state.environment.items():
        emit(f"export {name}={shlex.quote(value)}")
    emit(f'export PATH={shlex.quote(state.bin_dir)}:"$PATH"')
    return 0


def _status(options: argparse.Namespace) -> int:
    state = _running(options)
    dead = 0
    for name, pid in state.processes.items():
        alive = _is_alive(pid)
        dead += not alive
        emit(f"{name:<24} {pid:>8}  {'running' if alive else 'ended'}")
    _describe(options, state)
    return 1 if dead else 0


def _build(options: argparse.Namespace) -> int:
    binaries = Binaries()
    programs = [BY_NAME[name] for name in options.programs or BY_NAME]
    binaries.ensure(programs)
    for program in programs:
        emit(f"{program.name:<24} {program.version:<8} {binaries.path(program.name)}")
    return 0


def _running(options: argparse.Namespace) -> State:
    state = daemon.running(options.dir)
    if state is None:
        raise DevClusterError("no cluster is up; start one with: up")
    return state


def _describe(options: argparse.Namespace, state: State) -> None:
    # As it stands it works from any folder and needs nothing activated; should it fail, kubectl fails, too.
    tool = [sys.executable, str(Path(__file__).resolve().parent), "env"]
    if options.dir != _DEFAULT_DIR:
        tool += ["--dir", str(options.dir.resolve())]
    say(f"  Kubernetes   {state.api_url}")
    say(f"  Prometheus   {state.prometheus_url} (more targets: {state.prometheus_targets}/*.json)")
    say(f"  logs         {state.logs_dir}")
    say(f'  use it       export KUBECONFIG={NOWHERE}; eval "$({shlex.join(tool)})"')


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devcluster", description="A real control plane on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=command)
        return added

    up = add("up", _up, "Start it, building what is missing, and return when it works.")
    up.add_argument("--wait", action="store_true", help="stay in the foreground until Ctrl-C")
    down = add("down", _down, "Stop it.")
    env = add("env", _env, "Print what a shell has to evaluate to use it.")
    status = add("status", _status, "Tell what runs.")
    serve = add("serve", _serve, "Run it in this process, silently; `up` does so in the background.")
    for one in (up, down, env, status, serve):
        one.add_argument("--dir", type=Path, default=_DEFAULT_DIR, help="its folder (default: %(default)s)")
    build = add("build", _build, "Build what is missing and tell where the programs are.")
    build.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"one of {', '.join(BY_NAME)} (default: all)")
    return parser
