"""What can be chosen about a run, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = Path(__file__).parents[2] / ".bench-scale"


class OptionError(Exception):
    """A variable holds what cannot be used."""


@dataclass(frozen=True)
class Options:
    """How the bench runs.

    Attributes:
        sizes: numbers of twins (`N`), each with a control plane of its own.
        interval: `syncFrequencySeconds` of every twin (`INTERVAL`).
        window: length of the steady window in seconds (`WINDOW`); at least two intervals.
        idle: length of the window before the twins, in seconds (`IDLE`).
        patience: seconds to wait for all twins to be predicting (`WAIT`).
        settle: the operator has settled when it uses as much CPU as in the same time before, in seconds (`SETTLE`).
        history_hours: how much past most twins have (`HISTORY_HOURS`).
        week_share: share of the twins that have a week of it (`WEEK`, in per cent).
        operator_environment: further variables of the operator, `OPERATOR_ENV="NAME=value NAME=value"`.
        directory: holds the clusters' data and logs (`DIRECTORY`).
    """

    sizes: tuple[int, ...] = (100, 300)
    interval: int = 60
    window: float = 120.0
    idle: float = 20.0
    patience: float = 600.0
    settle: float = 15.0
    history_hours: float = 24.0
    week_share: float = 0.05
    operator_environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = DIRECTORY


def read(environment: Mapping[str, str] = os.environ) -> Options:
    """Return the options that the environment asks for.

    Raises:
        OptionError: a value is no number, or too small to measure anything.
    """
    defaults = Options()
    interval = int(_number(environment, "INTERVAL", defaults.interval, least=1))
    try:
        sizes = tuple(int(size) for size in environment.get("N", "").split()) or defaults.sizes
        extra = dict(pair.split("=", 1) for pair in environment.get("OPERATOR_ENV", "").split())
    except ValueError as error:
        raise OptionError(f"N takes whole numbers, OPERATOR_ENV takes NAME=value: {error}") from error
    if min(sizes) < 1:
        raise OptionError("N takes numbers of twins, from 1 on")
    return Options(
        sizes=sizes,
        interval=interval,
        window=_number(environment, "WINDOW", 2 * interval, least=2 * interval),
        idle=_number(environment, "IDLE", defaults.idle, least=5),
        patience=_number(environment, "WAIT", defaults.patience, least=1),
        settle=_number(environment, "SETTLE", defaults.settle, least=1),
        history_hours=_number(environment, "HISTORY_HOURS", defaults.history_hours, least=0),
        week_share=_number(environment, "WEEK", 100 * defaults.week_share, least=0) / 100,
        operator_environment=extra,
        directory=Path(environment.get("DIRECTORY") or defaults.directory),
    )


def _number(environment: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = environment.get(name) or str(default)
    try:
        number = float(text)
    except ValueError as error:
        raise OptionError(f"{name} takes a number, not {text!r}") from error
    if not number >= least:
        raise OptionError(f"{name} takes {least:g} or more, not {text}")
    return number
