"""Serialization of the calibration of one metric for status, and back.

Status can be written by anybody with rights to it: a text is refused unless it has the same shape and configuration
and holds plausible figures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from twinops.core.forecast.calibration import MEAN_OF_NORMAL, NORMAL, CalibrationState, relative_error
from twinops.core.forecast.config import Config
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.members import COUNT
from twinops.core.series import Floats, Indices

_LOSSES_PER_OCTAVE = 8
_WIDTHS_PER_OCTAVE = 16
_SIZES_PER_OCTAVE = 256
_BYTE = 127
_TWO_BYTES = 32_767
_FORMER_MIDDLE = 128
_FULL_SHARE = 255
_LARGEST = 1e30
_LARGEST_HALF = 6e4
_TINY = 1e-30
_NAME_BYTES = 4
_LINEAR = 0.1
"""Scaled residuals below this are stored about linearly, larger ones by their logarithm."""
_PER_UNIT = 18.0
"""Steps per unit of the inverse hyperbolic sine of a scaled residual: 3 % of a large one, up to 58."""
_SINES = np.rint(np.arcsinh(NORMAL / MEAN_OF_NORMAL / _LINEAR) * _PER_UNIT)
"""Steps of the quantiles of a normal distribution, from which the stored ones are counted."""


@lru_cache(maxsize=64)
def _layout(horizons: int) -> np.dtype[np.void]:
    """Return the layout of one series. Figures of one kind stand together, and about 0, so that they deflate well."""
    return np.dtype(
        [
            ("loss", "i1", (horizons, COUNT)),
            ("quantiles", "i1", (horizons, 2, len(QUANTILES))),
            ("width", "i1", horizons),
            ("covered", "u1", horizons),
            ("size", "<i2", (horizons, 2)),
            ("naive_score", "<i2", horizons),
            ("ratio", "<f2", horizons),
            ("checks", "<u2", horizons),
            ("change", "<i2"),
        ]
    )


_FORMER = np.dtype(
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
"""Per horizon, of version .1, whose states are still read. It had the change as a float of four bytes."""


@lru_cache(maxsize=256)
def _name(horizons: tuple[int, ...], step: float, config: Config) -> bytes:
    """Return four bytes that identify horizons, step and configuration of a state."""
    text = f"{config.digest} {step:g} {' '.join(map(str, horizons))}"
    return hashlib.sha256(text.encode()).digest()[:_NAME_BYTES]


def pack(state: CalibrationState, horizons: Indices, step: float, config: Config) -> list[str]:
    """Return weights, quantiles and skill of every series as text; at most 196 characters each for three horizons.

    Errors and widths are stored by their logarithm, to .3 % (sizes, scores), 2 % (width) and 4 % (losses of members);
    scaled quantiles by their inverse hyperbolic sine, to 3 % or .003.

    Args:
        state: of all series.
        horizons: shape (h,), steps.
        step: seconds.
        config: the frozen configuration.
    """
    series, count = state.checks.shape
    rows = np.zeros(series, _layout(count))
    size = np.maximum(state.size[..., :1].astype(np.float64), _TINY)
    rows["loss"] = _logarithm(state.loss.astype(np.float64) / size, _LOSSES_PER_OCTAVE, _BYTE)
    sines = np.rint(np.arcsinh(state.quantiles.astype(np.float64) / _LINEAR) * _PER_UNIT) - _SINES
    rows["quantiles"] = np.clip(sines, -_BYTE, _BYTE)
    rows["size"] = _logarithm(state.size, _SIZES_PER_OCTAVE, _TWO_BYTES)
    rows["naive_score"] = _logarithm(state.score[..., 1], _SIZES_PER_OCTAVE, _TWO_BYTES)
    # The sign holds whether the ensemble is trusted.
    rows["ratio"] = np.minimum(relative_error(state), _LARGEST_HALF) * np.where(state.trusted, 1, -1)
    width = state.width[..., 0].astype(np.float64) / np.maximum(state.width[..., 1], _TINY)
    rows["width"] = _logarithm(width, _WIDTHS_PER_OCTAVE, _BYTE)
    rows["covered"] = np.rint(state.covered * _FULL_SHARE)
    rows["checks"] = np.minimum(state.checks, np.iinfo(np.uint16).max)
    rows["change"] = _logarithm(state.change, _SIZES_PER_OCTAVE, _TWO_BYTES)
    name = _name(tuple(horizons.tolist()), step, config)
    return [base64.b64encode(name + row.tobytes()).decode() for row in rows]


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
    found = _read(text, _name(tuple(horizons.tolist()), step, config), len(horizons))
    if found is None:
        return False
    state.change[which] = found.change
    state.steps[which] = float(found.checks.max())
    state.checks[which] = found.checks
    state.size[which] = state.long[which] = found.size
    state.loss[which] = found.size[:, :1] * found.loss
    state.quantiles[which] = found.quantiles
    state.score[which, :, 1] = found.naive_score
    state.score[which, :, 0] = found.naive_score * np.abs(found.ratio)
    state.width[which, :, 1] = 1.0
    state.width[which, :, 0] = found.width
    state.covered[which] = found.covered
    state.trusted[which] = ~np.signbit(found.ratio)
    return True


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What a text holds of one series at h horizons; shapes as in ``CalibrationState``, without the series.

    Attributes:
        loss: relative to the ensemble's size.
        ratio: the ensemble's score relative to naive's, below 0 where the ensemble is not trusted.
        width: relative to naive's.
    """

    change: float
    loss: Floats
    quantiles: Floats
    size: Floats
    naive_score: Floats
    ratio: Floats
    width: Floats
    covered: Floats
    checks: Floats


def _read(text: str, name: bytes, count: int) -> _Found | None:
    """Return what the text holds, None where it is refused."""
    # Nothing longer is decoded.
    if len(text) > 2 * (_NAME_BYTES + 4 + count * _FORMER.itemsize):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if raw[:_NAME_BYTES] != name:
        return None
    body = raw[_NAME_BYTES:]
    if len(body) == _layout(count).itemsize:
        return _decoded(body, count)
    return _former(body, count) if len(body) == 4 + count * _FORMER.itemsize else None


def _decoded(body: bytes, count: int) -> _Found | None:
    [row] = np.frombuffer(body, _layout(count))
    ratio = row["ratio"].astype(np.float64)
    if not (np.abs(ratio) <= _LARGEST_HALF).all():
        return None
    return _Found(
        change=float(_power(row["change"], _SIZES_PER_OCTAVE)),
        loss=_power(row["loss"], _LOSSES_PER_OCTAVE),
        quantiles=_LINEAR * np.sinh((row["quantiles"] + _SINES) / _PER_UNIT),
        size=_power(row["size"], _SIZES_PER_OCTAVE),
        naive_score=_power(row["naive_score"], _SIZES_PER_OCTAVE),
        ratio=ratio,
        width=_power(row["width"], _WIDTHS_PER_OCTAVE),
        covered=row["covered"] / _FULL_SHARE,
        checks=row["checks"].astype(np.float64),
    )


def _former(body: bytes, count: int) -> _Found | None:
    rows = np.frombuffer(body, _FORMER, count, 4)
    change = float(np.frombuffer(body, "<f4", 1)[0])
    signless = [np.abs(rows["ratio"]), rows["size"], rows["naive_score"], rows["width"], np.array(change)]
    sound = all(((part >= 0) & (part <= _LARGEST)).all() for part in map(np.float64, signless))
    quantiles = rows["quantiles"].astype(float)
    if not sound or not (np.abs(quantiles) <= _LARGEST_HALF).all():
        return None
    return _Found(
        change=change,
        loss=_power(rows["loss"].astype(float) - _FORMER_MIDDLE, _LOSSES_PER_OCTAVE),
        quantiles=quantiles,
        size=rows["size"].astype(np.float64),
        naive_score=rows["naive_score"].astype(np.float64),
        ratio=rows["ratio"].astype(np.float64),
        width=rows["width"].astype(np.float64),
        covered=rows["covered"] / _FULL_SHARE,
        checks=rows["checks"].astype(np.float64),
    )


def _logarithm(values: Floats, per_octave: int, most: int) -> Floats:
    """Return logarithms as whole numbers up to ``most`` on either side of 0; what is not finite counts as the end."""
    octaves = np.log2(np.clip(np.nan_to_num(values.astype(np.float64)), _TINY, _LARGEST))
    found: Floats = np.clip(np.rint(octaves * per_octave), -most, most)
    return found


def _power(codes: Any, per_octave: int) -> Floats:
    """Return the values of ``_logarithm``."""
    found: Floats = np.exp2(codes.astype(np.float64) / per_octave)
    return found
