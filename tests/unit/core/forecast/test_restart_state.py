"""The restart state: one text for all metrics, read only where it is such a text."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinops.api.twin.predictions import MAX_RESTART_STATE
from twinops.core.forecast.calibration import new_state
from twinops.core.forecast.config import CONFIG
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.members import COUNT
from twinops.core.forecast.pack import pack, resume
from twinops.core.forecast.restart_state import decode, encode

HORIZONS = np.array([15, 30, 60])
STEP = 60.0


def text_of(payload: bytes, version: int = 1) -> str:
    return base64.b64encode(bytes([version]) + zlib.compress(payload)).decode()


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.binary(min_size=1, max_size=40), max_size=6))
def test_every_state_comes_back(states: dict[str, bytes]) -> None:
    told = {metric: base64.b64encode(state).decode() for metric, state in states.items()}
    assert decode(encode(told)) == told


def test_without_a_state_there_is_no_text() -> None:
    assert encode({}) == encode({"cpuUsage": ""}) == encode({"cpuUsage": "no base64!"}) == ""


def test_what_does_not_fit_into_status_is_not_kept() -> None:
    noise = np.random.default_rng(1).bytes(MAX_RESTART_STATE)
    assert encode({"cpuUsage": base64.b64encode(noise).decode()}) == ""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("packed", id="other text"),
        pytest.param("ä" * 40, id="not ASCII"),
        pytest.param(text_of(b"\x01\x00\x01\x00ab", version=2), id="another version"),
        pytest.param(text_of(b"\x01\x00\x09\x00ab"), id="ends within an entry"),
        pytest.param(text_of(b"\x01\x00"), id="ends within the lengths"),
        pytest.param(text_of(b"\x01\x00\x01\x00\xffb"), id="a name that is no text"),
        pytest.param(text_of(bytes(10_000_000))[:-8], id="inflates to megabytes"),
        pytest.param(base64.b64encode(b"\x01nothing deflated").decode(), id="not deflated"),
    ],
)
def test_what_is_no_restart_state_holds_none(text: str) -> None:
    assert {metric: state for metric, state in decode(text).items() if state} == {}


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(noise: bytes) -> None:
    assert isinstance(decode(base64.b64encode(b"\x01" + noise).decode()), dict)
    assert isinstance(decode(text_of(noise)), dict)


def test_a_state_of_version_01_is_still_resumed_from() -> None:
    row = np.dtype(
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
    rows = np.zeros(3, row)
    rows["loss"], rows["size"], rows["naive_score"], rows["ratio"] = 136, (2.0, 4.0), 3.0, -0.5
    rows["quantiles"], rows["width"], rows["covered"], rows["checks"] = np.arange(9) - 4, 0.75, 230, 77
    name = base64.b64decode(pack(new_state(1, 3), HORIZONS, STEP, CONFIG)[0])[:4]
    former = base64.b64encode(name + np.float32(0.25).tobytes() + rows.tobytes()).decode()

    state = new_state(1, 3)
    assert resume(state, 0, former, HORIZONS, STEP, CONFIG)
    np.testing.assert_allclose(state.loss, 4.0)
    np.testing.assert_allclose(state.size[0], [[2, 4]] * 3)
    np.testing.assert_allclose(state.quantiles[0, 0, 1], np.arange(9) - 4)
    np.testing.assert_allclose(state.score[0], [[1.5, 3]] * 3)
    assert (float(state.change[0]), int(state.checks[0, 0]), bool(state.trusted.any())) == (0.25, 77, False)


def test_packing_keeps_figures_within_its_resolution() -> None:
    rng = np.random.default_rng(2)
    state = new_state(4, 3)
    state.loss[...] = np.exp(rng.normal(size=state.loss.shape))
    state.sizes[...] = np.exp(rng.normal(size=state.sizes.shape))
    state.figures[...] = np.exp(rng.normal(size=state.figures.shape))
    state.figures[..., 4] = rng.random((4, 3))
    state.quantiles[...] = np.sort(rng.standard_t(3, size=state.quantiles.shape))
    state.checks[...] = rng.integers(1, 60_000, size=state.checks.shape)
    state.change[...] = np.exp(rng.normal(size=4))
    again = new_state(4, 3)
    for which, text in enumerate(pack(state, HORIZONS, STEP, CONFIG)):
        assert resume(again, which, text, HORIZONS, STEP, CONFIG)
    np.testing.assert_allclose(again.size, state.size, rtol=0.002)
    np.testing.assert_allclose(again.loss, state.loss, rtol=0.05)
    np.testing.assert_allclose(again.quantiles, state.quantiles, rtol=0.03, atol=0.003)
    np.testing.assert_allclose(again.score[..., 1], state.score[..., 1], rtol=0.002)
    np.testing.assert_allclose(again.covered, state.covered, atol=0.003)
    assert (again.checks == state.checks).all()
    assert (again.trusted == state.trusted).all()
