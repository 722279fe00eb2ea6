"""The replay spec: a twin's spec from a manifest, the cluster or single options, reduced to what was recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from twinops.api.twin.spec import LARGEST, MAX_METRICS, DigitalTwinSpec
from twinops.errors import InputError
from twinops.replay.durations import short
from twinops.replay.files import read_text

DEFAULT_HORIZONS = (900, 1800, 3600)
_MOST_HORIZONS = 6
_DAY = 86_400
_BARE = {"source": {"systemType": "Custom"}}


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """Spec of a replay.

    Attributes:
        spec: of the twin; ``sync_frequency_seconds`` is the step of the recording.
        learn_limits: metrics whose limit is the 95th percentile of the learning rows.
        notes: remarks for the report.
    """

    spec: DigitalTwinSpec
    learn_limits: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options of the command line that shape the replay spec.

    Attributes:
        twin: spec of a manifest or of a twin in the cluster, None without one.
        limits: by metric, in the metric's unit.
        expected: normal value by metric, in the metric's unit.
        horizons: seconds; None for the twin's, without a twin 15, 30 and 60 minutes.
    """

    twin: DigitalTwinSpec | None = None
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    expected: Mapping[str, float] = dataclasses.field(default_factory=dict)
    horizons: Sequence[int] | None = None


def replay_spec(options: ReplayOptions, names: Sequence[str], step: float, *, replicas: bool = False) -> ReplaySpec:
    """Return the replay spec of a recording.

    Single limits and expected values are added to a twin's. What neither gives is learned: the baseline, and as limit
    the 95th percentile of the learning rows. For a twin with limits of its own no further limits are learned.

    Args:
        options: of the command line.
        names: of the recorded metrics.
        step: seconds between two rows.
        replicas: whether the number of replicas was recorded; if not, what depends on it is left out.

    Raises:
        InputError: a metric that is not recorded, too many metrics, or unusable horizons.
    """
    _check(options, names)
    spec = options.twin or DigitalTwinSpec.from_wire(_BARE)
    limits = _recorded({**spec.limits, **options.limits}, names)
    each = _recorded(spec.limits_per_replica, names) if replicas else {}
    expected = _recorded({**spec.expected_state.metrics, **options.expected}, names)
    state: dict[str, Any] = {"metrics": expected, "version": None, "labels": {}}
    if not replicas:
        state["replicas"] = None
    if options.twin is None or not expected:
        state["learned"] = True
    complete = options.twin is not None and bool(options.twin.limits or each)
    update = {
        "limits": limits,
        "limits_per_replica": each,
        "expected_state": spec.expected_state.model_copy(update=state),
        "sync_frequency_seconds": round(step),
        "predictions": spec.predictions.model_copy(update={"horizons_seconds": _horizons(options, step)}),
    }
    learn = () if complete else tuple(name for name in names if name not in {*limits, *each})
    return ReplaySpec(spec.model_copy(update=update), learn, tuple(_notes(spec, names, replicas=replicas)))


def _recorded(values: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name in names}


def _check(options: ReplayOptions, names: Sequence[str]) -> None:
    if len(names) > MAX_METRICS:
        raise InputError(
            f"{len(names)} metrics, and a twin has at most {MAX_METRICS}: name those that matter with --metric"
        )
    for option, values in (("--limit", options.limits), ("--expected", options.expected)):
        for name in values:
            if name not in names:
                raise InputError(f"{option} {name}: no such metric; recorded are {', '.join(names)}")
    absolute = options.twin.absolute_thresholds if options.twin is not None else {}
    for name, value in options.expected.items():
        if value == 0 and name not in absolute:
            raise InputError(
                f"--expected {name}=0: a deviation in percent of 0 has no meaning; give a twin with absoluteThresholds "
                "by -f"
            )


def _notes(spec: DigitalTwinSpec, names: Sequence[str], *, replicas: bool) -> Iterator[str]:
    absent = sorted({*spec.limits, *spec.limits_per_replica, *spec.expected_state.metrics} - set(names))
    if absent:
        yield f"the twin speaks of {', '.join(absent)}, and nothing of that is recorded"
    if spec.limits_per_replica and not replicas:
        yield "limitsPerReplica are left out: it is not recorded how many replicas there were"


def _horizons(options: ReplayOptions, step: float) -> list[int]:
    """Return the horizons in seconds, ascending."""
    if options.horizons is None and options.twin is not None:
        return sorted(options.twin.predictions.horizons_seconds)
    chosen = sorted(set(options.horizons or DEFAULT_HORIZONS))
    if options.horizons is None:
        return [one for one in chosen if one >= step] or [round(step)]
    if len(chosen) > _MOST_HORIZONS:
        raise InputError(f"--horizons: at most {_MOST_HORIZONS}")
    for one in chosen:
        if not step <= one <= _DAY:
            raise InputError(f"--horizons: {short(one)} is not between one step ({short(step)}) and a day")
    return chosen


def read_manifest(path: Path) -> DigitalTwinSpec:
    """Return the spec of the one DigitalTwin in a YAML file.

    Raises:
        InputError: it holds none or several, or cannot be read.
    """
    try:
        documents = list(yaml.safe_load_all(read_text(path)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f": line {mark.line + 1}, column {mark.column + 1}"
        raise InputError(f"{path}{where}: this is not YAML ({getattr(error, 'problem', None) or error})") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # PyYAML raises these for tagged values that it cannot construct and for too deep nesting.
        raise InputError(f"{path}: this YAML cannot be read ({type(error).__name__}): give a plain manifest") from error
    twins = [one for one in documents if isinstance(one, dict) and one.get("kind") == "DigitalTwin"]
    if len(twins) != 1:
        raise InputError(f"{path} holds {len(twins) or 'no'} DigitalTwin{'s' if twins else ''}; exactly one is needed")
    return read_spec(twins[0], str(path))


def read_spec(body: Mapping[str, Any], where: str) -> DigitalTwinSpec:
    """Return the spec of a twin's body.

    Args:
        body: as YAML or the API server gives it.
        where: file or object, for the message.

    Raises:
        InputError: it is not a valid spec.
    """
    try:
        return DigitalTwinSpec.from_wire(body.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where}: spec.{field}: {first['msg']}") from error


def metric_value(text: str, option: str) -> tuple[str, float]:
    """Read ``METRIC=VALUE`` of an option.

    Raises:
        InputError: the text has another form.
    """
    name, sign, figure = text.rpartition("=")
    try:
        value = float(figure)
    except ValueError:
        value = float("nan")
    if not sign or not name.strip() or not abs(value) <= LARGEST:
        raise InputError(f"{option} {text!r}: write METRIC=VALUE, for example {option} cpuUsage=80")
    return name.strip(), value
