from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demo.history import PODS, Floats, rate_at, times_before, write_history
from demo.scenario import BASE_RATE, SCRAPE_SECONDS

END = 1_800_000_000.0
DAY = 86_400


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("history") / "history.txt"
    write_history(path, end=END)
    return path.read_text()


def samples(text: str, head: str) -> Floats:
    """Return values and times of one series, shape (n, 2); its lines follow each other."""
    start = text.index(f"\n{head} ") + 1
    end = text.rindex(f"\n{head} ") + 1
    lines = text[start : text.index("\n", end)].splitlines()
    return np.array([line.removeprefix(head).split() for line in lines], dtype=np.float64)


def test_it_covers_a_week_and_ends_before_the_live_series_begin() -> None:
    times = times_before(END)
    assert END - times[0] == pytest.approx(7 * DAY)
    assert times[-1] < END
    assert (np.diff(times) > 0).all()


def test_the_last_hour_can_be_rated_over_seconds() -> None:
    times = times_before(END)
    assert np.diff(times[times > END - 3600]).max() <= SCRAPE_SECONDS


def test_it_arrives_at_the_live_rate() -> None:
    assert rate_at(np.array([END]), end=END)[0] == pytest.approx(BASE_RATE)


def test_it_has_the_shape_of_days_and_of_a_week() -> None:
    hours = END - 3600 * np.arange(7 * 24, dtype=float)
    rates = rate_at(hours, end=END)
    by_day = rates.reshape(7, 24)
    assert by_day.max(axis=1).min() > 1.2 * by_day.min(axis=1).max() * 0.9
    means = by_day.mean(axis=1)
    assert sorted(means)[:2] == pytest.approx([BASE_RATE * 0.8] * 2, rel=0.05)
    assert sorted(means)[2:] == pytest.approx([BASE_RATE] * 5, rel=0.05)


def test_it_is_the_same_every_time(text: str, tmp_path: Path) -> None:
    write_history(tmp_path / "again.txt", end=END)
    assert (tmp_path / "again.txt").read_text() == text


@pytest.mark.parametrize(
    "head",
    [
        pytest.param('http_requests_total{namespace="shop",job="shop",instance="shop",code="200",pod="POD"}', id="n"),
        pytest.param(
            'http_request_duration_seconds_bucket{namespace="shop",job="shop",instance="shop",le="+Inf",pod="POD"}',
            id="histogram",
        ),
        pytest.param(
            'container_cpu_usage_seconds_total{namespace="shop",job="kubelet",node="node-0",container="shop",pod="POD"}',
            id="cpu",
        ),
    ],
)
def test_counters_never_fall(text: str, head: str) -> None:
    for pod in PODS:
        values = samples(text, head.replace("POD", pod))[:, 0]
        assert len(values) == len(times_before(END))
        assert (np.diff(values) >= 0).all()


def test_rates_at_the_end_are_those_of_the_live_shop(text: str) -> None:
    head = f'http_requests_total{{namespace="shop",job="shop",instance="shop",code="200",pod="{PODS[0]}"}}'
    values, times = samples(text, head)[-300:].T
    assert (values[-1] - values[0]) / (times[-1] - times[0]) == pytest.approx(BASE_RATE / len(PODS), rel=0.02)


def test_buckets_are_cumulative(text: str) -> None:
    last = [
        samples(
            text,
            "http_request_duration_seconds_bucket"
            f'{{namespace="shop",job="shop",instance="shop",le="{bound}",pod="{PODS[0]}"}}',
        )[-1, 0]
        for bound in ("0.05", "0.1", "0.15", "2.0", "+Inf")
    ]
    assert last == sorted(last)
    assert last[1] == pytest.approx(last[-1] / 2)
