"""Queries that are asked together on a real Prometheus are answered as each of them alone, whatever they are."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.adapters.prometheus.joined import LABEL
from twinops.api.source.spec import MetricsSourceSpec
from twinops.core.metrics.queries import InstantAnswer
from twinops.engine.requester import requested_by
from twinops.ports.kubernetes import TwinRef
from twinops.ports.metrics import SourceAccess

MANY = 5000

ODD = {
    "a gauge": "gauge",
    "a counter's rate": "rate(counter_total[5m])",
    "a counter that was reset": "increase(reset_total[5m])",
    "a pod that is missing": 'gauge{pod="gone"}',
    "a name that is a prefix of another": 'gauge{pod=~"edge-[a-z]+"}',
    "NaN": "nan_gauge",
    "NaN by division": "gauge * 0 / 0",
    "Inf": "inf_gauge",
    "minus Inf": "-inf_gauge",
    "two series": "two",
    "five thousand series": "many",
    "the number of them": "count(many)",
    "UTF-8 names": '{"utf.8-name", "label.with-dots"="ä"}',
    "a name like that of a recording rule": "job:requests:rate5m",
    "a comment at the end": "gauge # not (closed",
    "a comment within": "gauge # one\n+ gauge # two",
    "offset": "gauge offset 1m",
    "negative offset": "gauge offset -1m",
    "at a time": "gauge @ %(end)d",
    "at the end": "gauge @ end()",
    "or within": "gauge or two",
    "or of nothing": "gone or gone_too",
    "unless": "two unless gauge",
    "and": "two and on () gauge",
    "a scalar": "scalar(gauge)",
    "a number": "42",
    "arithmetic of numbers": "1 + 1",
    "the time": "time()",
    "a string": '"text"',
    "a range": "gauge[5m]",
    "a subquery": "gauge[5m:1m]",
    "over a subquery": "max_over_time(rate(counter_total[1m])[5m:1m])",
    "a syntax error": "sum(",
    "brackets that are never opened": "gauge) or (two",
    "an unknown function": "no_such(gauge)",
    "an unclosed string": 'gauge{pod="',
    "a bad regular expression": 'gauge{pod=~"("}',
    "one that our parser may not know": "limitk(1, two)",
    "a duplicate label set": 'label_replace(two, "x", "same", "", "")',
    "many to many": "two * on () two",
    "absent": "absent(gone)",
    "absent that is there": "absent(gauge)",
    "an empty result": "gauge > 1e9",
    "with its name": '{__name__="gauge"}',
    "two names": '{__name__=~"gauge|two"}',
    "our own label": f'{{{LABEL}="a"}}',
    "our own label, twice": "labelled",
    "sorted": "sort_desc(two)",
    "the largest": "topk(1, two)",
    "values as labels": 'count_values("value", two)',
    "a quantile": "histogram_quantile(0.9, rate(latency_bucket[5m]))",
    "a quantile out of range": "quantile(2, two)",
    "a comparison of numbers": "1 > bool 2",
    "a vector of a number": "vector(1)",
    "a raw string": r"gauge{pod=~`edge-\d*x?.*`}",
    "blanks and line breaks": " \n gauge \n ",
    "nothing": "",
    "only a comment": "# nothing",
    "a long one": " + ".join(["gauge"] * 200),
}


@dataclass(frozen=True)
class Site:
    prometheus: Prometheus
    end: float

    @property
    def source(self) -> SourceAccess:
        spec = MetricsSourceSpec(url=self.prometheus.url, scrape_interval_seconds=15, timeout_seconds=20)
        return SourceAccess("odd", spec)


def history(end: float) -> Iterator[str]:
    """Yield ten minutes of samples, one in 15 seconds."""
    values: dict[str, Callable[[int], object]] = {
        'gauge{pod="edge-x",app="edge"}': lambda n: 3 + n % 4,
        "nan_gauge": lambda _: "NaN",
        "inf_gauge": lambda _: "+Inf",
        'counter_total{pod="edge-x"}': lambda n: 10 * n,
        'reset_total{pod="edge-x"}': lambda n: 10 * (n % 13),
        'two{x="1"}': lambda n: n,
        'two{x="2"}': lambda n: 2 * n,
        'job:requests:rate5m{job="a"}': lambda n: n / 7,
        '{"utf.8-name","label.with-dots"="ä"}': lambda n: n,
        f'labelled{{{LABEL}="a"}}': lambda n: n,
        f'labelled{{{LABEL}="b"}}': lambda n: n + 1,
        'latency_bucket{le="0.1"}': lambda n: 5 * n,
        'latency_bucket{le="1.0"}': lambda n: 9 * n,
        'latency_bucket{le="+Inf"}': lambda n: 10 * n,
    }
    for series, value in values.items():
        for number in range(41):
            yield f"{series} {value(number)} {end - 600 + 15 * number:.0f}"
    for number in range(MANY):
        yield f'many{{x="{number}"}} {number} {end:.0f}'


@pytest.fixture(scope="module")
def site(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    end = float(int(time.time()) // 60 * 60 - 600)
    file: Path = tmp_path_factory.mktemp("history") / "odd.txt"
    file.write_text("\n".join([*history(end), "# EOF", ""]))
    prometheus = cluster.start_prometheus("odd", PrometheusOptions(backfill=file, scrape_kwok=False))
    yield Site(prometheus, end)
    prometheus.process.stop()


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend()
    yield backend
    await backend.aclose()


def same(one: InstantAnswer, other: InstantAnswer) -> bool:
    """Compare answers; those that cannot be told from each other in what they mean count as the same."""
    if len(one.values) != len(other.values) or (one.error, one.error_position) != (other.error, other.error_position):
        return False
    pairs = zip(one.values, other.values, strict=True)
    return all(left == right or (math.isnan(left) and math.isnan(right)) for left, right in pairs)


async def ask_as(backend: PrometheusBackend, site: Site, name: str, texts: Sequence[str]) -> Sequence[InstantAnswer]:
    with requested_by(TwinRef("shop", name, f"uid-{name}")):
        return await backend.instant(site.source, texts, site.end)


@pytest.mark.parametrize("rounds", [pytest.param(1, id="at first"), pytest.param(3, id="once the bad ones are known")])
async def test_odd_queries_of_many_twins_are_answered_as_if_alone(
    site: Site, backend: PrometheusBackend, rounds: int
) -> None:
    names = list(ODD)
    texts = [text % {"end": site.end} if "%(" in text else text for text in ODD.values()]
    alone = await backend.probes.instant(site.source, texts, site.end)

    for _ in range(rounds):
        # Each twin asks all, and begins with another one.
        asked = [[(index + twin) % len(texts) for index in range(len(texts))] for twin in range(len(texts))]
        answers = await asyncio.gather(
            *(
                ask_as(backend, site, f"twin-{twin}", [texts[index] for index in order])
                for twin, order in enumerate(asked)
            )
        )

    for order, together in zip(asked, answers, strict=True):
        for index, answer in zip(order, together, strict=True):
            assert same(answer, alone[index]), (names[index], answer, alone[index])
    assert sum(bool(answer.values) for answer in alone) >= 30


async def test_many_twins_share_few_requests(site: Site, backend: PrometheusBackend) -> None:
    texts = [[f"gauge * {twin} + {metric}" for metric in range(12)] for twin in range(200)]
    before = await requests_of(site)
    answers = await asyncio.gather(
        *(backend.instant(site.source, own, site.end, built_in=frozenset(own)) for own in texts)
    )
    sent = await requests_of(site) - before

    for twin, answered in enumerate(answers):
        assert [answer.values for answer in answered] == [(3.0 * twin + metric,) for metric in range(12)]
    assert sent <= 30, "2,400 queries"


async def requests_of(site: Site) -> float:
    """Return how many instant queries Prometheus has been asked, by its own metrics page."""
    page = await asyncio.to_thread(requests.get, f"{site.prometheus.url}/metrics", timeout=10)
    lines = [line for line in page.text.splitlines() if line.startswith("prometheus_http_requests_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'handler="/api/v1/query"' in line)
