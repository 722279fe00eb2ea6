"""Serialization of the calibration of one metric for status, and back.

Status can be written by anybody with rights to it: a text is refused unless it has the same shape and configuration
and holds plausible figures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import lru_cache

import numpy as np

from twinops.core.forecast.calibration import CalibrationState, relative_error
from twinops.core.forecast.config import Config
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.members import COUNT
from twinops.core.series import Indices

_PER_OCTAVE = 8
_MIDDLE_BYTE = 128
_FULL_SHARE = 255
_LARGEST = 1e30
_LARGEST_HALF = 6e4
_TINY = 1e-30
_NAME_BYTES = 4

_PER_HORIZON = np.dtype(
    [
        ("loss", "u1", COUNT),
        ("quantiles", "<f2", (2, len(QUANTILES))),
        ("size", "<f4", 2),
        ("naive_score", "<f4"),
        ("ratio", "<f2"),
        ("width", "<f2"),
        ("covered", "u1"),
        ("checks", "<u2"),
    ]
)


@lru_cache(maxsize=256)
def _name(horizons: tuple[int, ...], step: float, config: Config) -> bytes:
    """Return four bytes that identify horizons, step and configuration of a state."""
    text = f"{config.digest} {step:g} {' '.join(map(str, horizons))}"
    return hashlib.sha256(text.encode()).digest()[:_NAME_BYTES]


def pack(state: CalibrationState, horizons: Indices, step: float, config: Config) -> list[str]:
    """Return weights, quantiles and skill of every series as text; at most 300 bytes each for three horizons.

    Args:
        state: of all series.
        horizons: shape (h,), steps.
        step: seconds.
        config: the frozen configuration.
    """
    rows = np.zeros(state.checks.shape, _PER_HORIZON)
    size = np.maximum(state.size[..., :1], _TINY).astype(np.float64)
    octaves = np.log2(np.maximum(state.loss, _TINY) / size)
    rows["loss"] = np.minimum(np.maximum(np.rint(octaves * _PER_OCTAVE) + _MIDDLE_BYTE, 0), _FULL_SHARE)
    rows["quantiles"] = np.minimum(np.maximum(state.quantiles, -_LARGEST_HALF), _LARGEST_HALF)
    rows["size"] = np.minimum(state.size, _LARGEST)
    rows["naive_score"] = np.minimum(state.score[..., 1], _LARGEST)
    # The sign holds whether the ensemble is trusted.
    rows["ratio"] = np.minimum(relative_error(state), _LARGEST_HALF) * np.where(state.trusted, 1, -1)
    rows["width"] = np.minimum(state.width[..., 0] / np.maximum(state.width[..., 1], _TINY), _LARGEST_HALF)
    rows["covered"] = np.rint(state.covered * _FULL_SHARE)
    rows["checks"] = np.minimum(state.checks, np.iinfo(np.uint16).max)
    changes = np.minimum(state.change, _LARGEST).astype("<f4")
    name = _name(tuple(horizons.tolist()), step, config)
    return [
        base64.b64encode(name + change.tobytes() + row.tobytes()).decode()
        for change, row in zip(changes, rows, strict=True)
    ]


def resume(state: CalibrationState, which: int, text: str, horizons: Indices, step: float, config: Config) -> bool:
    """Replace the state of one series by a packed one.

    Args:
        state: changed in place.
        which: index of the series.
        text: of ``pack``.
        horizons: shape (h,), steps.
        step: seconds.
        config: the frozen configuration.

    Returns:
        False, with nothing changed, where the text has another shape or configuration, or is no such text.
    """
    rows, change = _read(text, _name(tuple(horizons.tolist()), step, config), len(horizons))
    if rows is None:
        return False
    state.change[which] = change
    state.steps[which] = float(rows["checks"].max())
    state.checks[which] = rows["checks"]
    state.size[which] = state.long[which] = rows["size"]
    state.loss[which] = rows["size"][:, :1] * 2.0 ** ((rows["loss"].astype(float) - _MIDDLE_BYTE) / _PER_OCTAVE)
    state.quantiles[which] = rows["quantiles"]
    state.score[which, :, 1] = rows["naive_score"]
    state.score[which, :, 0] = rows["naive_score"] * np.abs(rows["ratio"].astype(float))
    state.width[which, :, 1] = 1.0
    state.width[which, :, 0] = rows["width"]
    state.covered[which] = rows["covered"] / _FULL_SHARE
    state.trusted[which] = ~np.signbit(rows["ratio"])
    return True


def _read(text: str, name: bytes, count: int) -> tuple[np.ndarray | None, float]:
    """Return the rows and the mean square change; None where the text is refused."""
    size = _NAME_BYTES + 4 + count * _PER_HORIZON.itemsize
    if len(text) != -(-size // 3) * 4:
        return None, 0.0
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None, 0.0
    if len(raw) != size or raw[:_NAME_BYTES] != name:
        return None, 0.0
    change = float(np.frombuffer(raw, "<f4", 1, _NAME_BYTES)[0])
    rows = np.frombuffer(raw, _PER_HORIZON, count, _NAME_BYTES + 4)
    signless = [np.abs(rows["ratio"]), rows["size"], rows["naive_score"], rows["width"], np.array(change)]
    sound = all(((part >= 0) & (part <= _LARGEST)).all() for part in map(np.float64, signless))
    quantiles = np.abs(rows["quantiles"].astype(float))
    return (rows, change) if sound and (quantiles <= _LARGEST_HALF).all() else (None, 0.0)
