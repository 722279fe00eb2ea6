"""A week of the shop's past as OpenMetrics text, under the names and labels of the live series.

Deterministic for a given end: a daily and a weekly shape with a little seeded noise, scaled so that it
arrives at the live rate. The last hours are as dense as a live scrape would have left them, so that rates
over seconds can be taken of them; the days before are thinned out, as recording rules would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from demo.scenario import APP, BASE_RATE, POD, SCRAPE_SECONDS, SEED, TWINNED
from demo.shop.exposition import BUCKETS

_DAY = 86_400
_WEEK = 7 * _DAY
_DENSE_SECONDS = 2 * 3600
_SPARSE_STEP = 60
_SPARSE_NOISE, _DENSE_NOISE = 0.02, 0.04
_DAILY_SWING, _WEEKEND_DIP = 0.35, 0.2

# Letters that Kubernetes uses in the names of pods.
PODS = tuple(f"{APP}-6c8d5f7b9d-{suffix}" for suffix in ("2k8zt", "7vq4m", "xw9jp"))
"""The pods of the past: other names than today's, the same owner."""

Floats = npt.NDArray[np.float64]


def write_history(path: Path, *, end: float) -> None:
    """Write the week before `end` (Unix seconds)."""
    with path.open("w") as file:
        for family in _families(end):
            file.writelines(family)
        file.write("# EOF\n")


def times_before(end: float) -> Floats:
    """Return the sample times, shape (n,), increasing: sparse for days, dense for the last hours."""
    dense = np.arange(end - _DENSE_SECONDS, end, SCRAPE_SECONDS)
    sparse = np.arange(end - _WEEK, end - _DENSE_SECONDS, _SPARSE_STEP)
    return np.concatenate([sparse, dense])


def rate_at(times: Floats, *, end: float) -> Floats:
    """Return the shop's requests/s: a daily wave and quieter weekends, `BASE_RATE` at `end`.

    The story plays at the end of a Monday morning, wherever the clock stands.
    """
    days = (times - end) / _DAY
    wave = 1 + _DAILY_SWING * np.sin(2 * np.pi * days)
    weekend = (np.floor(days) % 7 >= 4) & (np.floor(days) % 7 < 6)  # noqa: PLR2004 - four days after Monday
    return np.asarray(BASE_RATE * wave * np.where(weekend, 1 - _WEEKEND_DIP, 1.0), dtype=np.float64)


def _families(end: float) -> Iterator[Iterator[str]]:
    times = times_before(end)
    steps = np.diff(times, prepend=times[0])
    noise = np.where(steps > SCRAPE_SECONDS, _SPARSE_NOISE, _DENSE_NOISE)
    wobble = 1 + noise * np.random.default_rng(SEED).standard_normal(times.size)
    requests = np.cumsum(rate_at(times, end=end) * wobble * steps) / len(PODS)
    cpu = requests * POD.mean_seconds / POD.slots * POD.cpu_millicores / 1000
    memory = np.full(times.size, POD.memory_mebibytes * 2**20 / 2)
    shop = f'namespace="{TWINNED}",job="shop",instance="{TWINNED}"'
    kubelet = f'namespace="{TWINNED}",job="kubelet",node="node-0",container="{APP}"'
    yield _series("http_requests", "counter", [("_total", f'{shop},code="200"', requests)], times)
    yield _series("http_request_duration_seconds", "histogram", _histogram(shop, requests), times)
    yield _series("container_cpu_usage_seconds", "counter", [("_total", kubelet, cpu)], times)
    yield _series("container_memory_working_set_bytes", "gauge", [("", kubelet, memory)], times)


def _histogram(labels: str, requests: Floats) -> list[tuple[str, str, Floats]]:
    """Spread the requests over the buckets as evenly distributed service times do."""
    least = POD.mean_seconds * (1 - POD.spread)
    width = 2 * POD.mean_seconds * POD.spread
    shares = [min(1.0, max(0.0, (bound - least) / width)) for bound in BUCKETS]
    buckets = [
        ("_bucket", f'{labels},le="{bound}"', requests * share) for bound, share in zip(BUCKETS, shares, strict=True)
    ]
    return [
        *buckets,
        ("_bucket", f'{labels},le="+Inf"', requests),
        ("_sum", labels, requests * POD.mean_seconds),
        ("_count", labels, requests),
    ]


def _series(name: str, kind: str, parts: list[tuple[str, str, Floats]], times: Floats) -> Iterator[str]:
    yield f"# TYPE {name} {kind}\n"
    for pod in PODS:
        for suffix, labels, values in parts:
            head = f'{name}{suffix}{{{labels},pod="{pod}"}}'
            for value, time in zip(values.tolist(), times.tolist(), strict=True):
                yield f"{head} {value:.10g} {time:.3f}\n"
