"""What is wrong with a source, by the answer to one small query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fakes.clock import START, in_fake_time
from fakes.sources import FakeSources
from twinops.controllers.source.probe import PROBE, PROBE_SECONDS, Problem, probe
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.errors import MetricsUnavailable, QueryRefused
from twinops.ports.metrics import SourceAccess

TOO_SLOW = Problem(
    "MetricsBackendUnavailable", "metrics source default: no answer to vector(1) within 10 s", silent=True
)
Answer = InstantAnswer | Exception | float


class Prober:
    """Answers a probe, raises an error, or takes so many seconds."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        assert (source.name, queries, at) == ("default", [PROBE], START)
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, float):
            await asyncio.sleep(self.answer)
            return [InstantAnswer((1.0,))]
        return [self.answer]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(InstantAnswer((1.0,)), None, id="it answers"),
        pytest.param(InstantAnswer((), error=PARTIAL), None, id="in part"),
        pytest.param(PROBE_SECONDS - 1, None, id="slowly"),
        pytest.param(
            PROBE_SECONDS + 1,
            Problem(
                "MetricsBackendUnavailable", "metrics source default: no answer to vector(1) within 10 s", silent=True
            ),
            id="too slowly",
        ),
        pytest.param(
            MetricsUnavailable("503"), Problem("MetricsBackendUnavailable", "503", silent=True), id="it is unavailable"
        ),
        pytest.param(QueryRefused("no"), Problem("QueryRefused", "no", silent=False), id="a person must act"),
        pytest.param(
            InstantAnswer((), error="bad_data"),
            Problem("QueryRefused", "the endpoint refuses vector(1): bad_data", silent=False),
            id="it refuses the query",
        ),
    ],
)
@in_fake_time
async def test_an_answer_says_what_is_wrong(answer: Answer, expected: Problem | None) -> None:
    assert await probe("default", FakeSources(), Prober(answer), START) == expected


@in_fake_time
async def test_a_secret_that_is_missing_is_a_problem_for_a_person() -> None:
    sources = FakeSources()
    sources.secret_missing = True
    found = await probe("default", sources, Prober(InstantAnswer((1.0,))), START)
    assert found == Problem("MetricsSourceInvalid", "Secret token is missing: create it", silent=False)
