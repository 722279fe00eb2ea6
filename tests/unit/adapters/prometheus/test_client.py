"""The client against servers that misbehave, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from devcluster.pki import Pki
from devcluster.ports import free_port
from fakes.clock import until
from fakes.http_server import FakeServer, Request, serve
from twinops.adapters.prometheus.client import MAX_POINTS, PrometheusBackend
from twinops.adapters.prometheus.transport import MAX_BODY_BYTES
from twinops.api.source.spec import MetricsSourceSpec
from twinops.core.metrics.queries import InstantAnswer
from twinops.errors import MetricsUnavailable, SourceInvalid, SpecError
from twinops.ports.metrics import RangeQuery, SourceAccess

AT = 1_800_000_000.0
SECRET = "s3cr3t-of-another-tenant"  # noqa: S105 - made up

Send = Callable[[Request], None]


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend(connections=4)
    yield backend
    await backend.aclose()


def source(url: str, name: str = "default", timeout_seconds: int = 1, **spec: object) -> SourceAccess:
    wire = {"url": url, "timeoutSeconds": timeout_seconds, **spec}
    return SourceAccess(name, MetricsSourceSpec.from_wire(wire))


def result(value: object, kind: str = "vector") -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": value}})


def vector(*values: str) -> str:
    return result([{"metric": {"x": str(n)}, "value": [AT, value]} for n, value in enumerate(values)])


def error(kind: str, text: str = SECRET) -> str:
    return json.dumps({"status": "error", "errorType": kind, "error": text})


def always(status: int, body: str | bytes, **headers: str) -> Send:
    return lambda request: request.answer(status, body, **headers)


@pytest.mark.parametrize(
    ("body", "values"),
    [
        pytest.param(vector("1.5"), (1.5,), id="vector"),
        pytest.param(vector(), (), id="empty vector"),
        pytest.param(vector("1", "2"), (1.0, 2.0), id="two series"),
        pytest.param(result([AT, "3"], "scalar"), (3.0,), id="scalar"),
        pytest.param(vector("NaN"), (math.nan,), id="NaN"),
        pytest.param(vector("+Inf"), (math.inf,), id="Inf"),
        pytest.param(vector("-Inf"), (-math.inf,), id="minus Inf"),
        pytest.param(vector("1e-9"), (1e-9,), id="exponent"),
    ],
)
async def test_numbers_are_decoded(backend: PrometheusBackend, body: str, values: tuple[float, ...]) -> None:
    with serve(always(200, body)) as server:
        [answer] = await backend.instant(source(server.url), ["up"], AT)

    assert answer.error == ""
    np.testing.assert_array_equal(answer.values, values)


async def test_matrix_is_decoded(backend: PrometheusBackend) -> None:
    body = result([{"metric": {}, "values": [[AT, "1"], [AT + 60, "NaN"], [AT + 120.5, "+Inf"]]}], "matrix")
    with serve(always(200, body)) as server:
        [answer] = await backend.ranges(source(server.url), [RangeQuery("up", AT, AT + 120, 60)])

    [(times, values)] = answer.series
    assert times.tolist() == [AT, AT + 60, AT + 120.5]
    np.testing.assert_array_equal(values, [1, np.nan, np.inf])


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(400, error("bad_data"), InstantAnswer(error="bad_data"), id="bad data"),
        pytest.param(
            400,
            error("bad_data", f'invalid parameter "query": 1:5: parse error: {SECRET}'),
            InstantAnswer(error="bad_data", error_position="1:5"),
            id="bad data with its place",
        ),
        pytest.param(
            400, error("bad_data", f"1:5: {SECRET}"), InstantAnswer(error="bad_data"), id="no parse error, no place"
        ),
        pytest.param(422, error("execution"), InstantAnswer(error="execution"), id="execution"),
        pytest.param(200, result([AT, SECRET], "string"), InstantAnswer(error="bad_data"), id="a string is no number"),
        pytest.param(
            200,
            result([{"metric": {}, "values": [[AT, "1"]]}], "matrix"),
            InstantAnswer(error="result_type"),
            id="a range where one value is wanted",
        ),
        pytest.param(
            200,
            result([{"metric": {}, "histogram": [AT, {"count": "1"}]}]),
            InstantAnswer(error="result_type"),
            id="native histogram",
        ),
        pytest.param(200, vector(SECRET), InstantAnswer(error="result_type"), id="no number"),
        pytest.param(
            200,
            result([{"metric": {}, "value": [AT, int("9" * 400)]}]),
            InstantAnswer(error="result_type"),
            id="an integer beyond every float",
        ),
    ],
)
async def test_bad_query_fails_alone(
    backend: PrometheusBackend, status: int, body: str, expected: InstantAnswer
) -> None:
    def answer(request: Request) -> None:
        if request.form["query"] == "good":
            request.answer(200, vector("1"))
        else:
            request.answer(status, body)

    with serve(answer) as server:
        answers = await backend.instant(source(server.url), ["good", "bad", "good"], AT)

    assert list(answers) == [InstantAnswer((1.0,)), expected, InstantAnswer((1.0,))]


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(always(429, error("too_many_requests")), id="429"),
        pytest.param(always(429, error("execution")), id="429 whatever the body says"),
        pytest.param(always(500, error("internal")), id="500"),
        pytest.param(always(500, SECRET), id="500 without JSON"),
        pytest.param(always(503, error("unavailable")), id="503"),
        pytest.param(always(502, f"<html>{SECRET}</html>"), id="502 of a proxy"),
        pytest.param(always(404, f"no such page {SECRET}"), id="404"),
        pytest.param(always(400, f"{SECRET}"), id="400 that is not of Prometheus"),
        pytest.param(always(400, error(SECRET)), id="unknown error type"),
        pytest.param(always(400, '{"status":"error","errorType":["bad_data"]}'), id="an error type that is a list"),
        pytest.param(always(503, error("timeout")), id="every query timed out"),
        pytest.param(always(200, SECRET), id="garbage"),
        pytest.param(always(200, b"\xff\xfe\x00"), id="bytes"),
        pytest.param(always(200, f"<html>{SECRET}</html>"), id="a login page"),
        pytest.param(always(200, ""), id="nothing"),
        pytest.param(always(200, "[]"), id="a list"),
        pytest.param(always(200, "{}"), id="no status"),
        pytest.param(always(200, '{"status":"success"}'), id="no data"),
        pytest.param(always(200, '{"status":"success","data":{"result":5}}'), id="no result"),
        pytest.param(always(200, "[" * 100_000), id="nested too deeply"),
        pytest.param(lambda request: request.connection.close(), id="connection closed"),
        pytest.param(lambda request: request.wfile.write(b"nonsense\r\n\r\n"), id="no HTTP"),
    ],
)
async def test_endpoint_that_fails_is_unavailable(backend: PrometheusBackend, behaviour: Send) -> None:
    with serve(behaviour) as server, pytest.raises(MetricsUnavailable) as caught:
        await backend.instant(source(server.url), ["a", "b"], AT)

    assert SECRET not in str(caught.value)


async def test_one_query_that_times_out_in_prometheus_fails_alone(backend: PrometheusBackend) -> None:
    def answer(request: Request) -> None:
        if request.form["query"] == "heavy":
            request.answer(503, error("timeout"))
        else:
            request.answer(200, vector("1"))

    with serve(answer) as server:
        answers = await backend.instant(source(server.url), ["heavy", "light"], AT)

    assert [answer.error for answer in answers] == ["timeout", ""]


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_for_a_person_to_mend(backend: PrometheusBackend, status: int) -> None:
    with serve(always(status, SECRET)) as server, pytest.raises(SpecError) as caught:
        await backend.instant(source(server.url), ["up"], AT)

    assert caught.value.reason == "MetricsSourceForbidden"
    assert SECRET not in str(caught.value)
    assert "spec.auth" in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_never_followed(backend: PrometheusBackend, status: int) -> None:
    with serve(always(200, vector("1"))) as elsewhere:
        redirect = always(status, "", Location=f"{elsewhere.url}/api/v1/query")
        with serve(redirect) as server, pytest.raises(MetricsUnavailable, match="redirect"):
            await backend.instant(source(server.url), ["up"], AT)

        assert not elsewhere.requests


async def test_nothing_is_retried(backend: PrometheusBackend) -> None:
    with serve(always(503, "")) as server:
        with pytest.raises(MetricsUnavailable):
            await backend.instant(source(server.url), ["up"], AT)

        assert len(server.requests) == 1


def hang(request: Request) -> None:
    assert isinstance(request.server, FakeServer)
    request.server.released.wait(20)


def drip(request: Request) -> None:
    assert isinstance(request.server, FakeServer)
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while not request.server.released.wait(0.1):
        request.wfile.write(b" " * 70_000)


@pytest.mark.parametrize("behaviour", [pytest.param(hang, id="no answer"), pytest.param(drip, id="an endless one")])
async def test_many_queries_to_a_hanging_server_cost_one_timeout(backend: PrometheusBackend, behaviour: Send) -> None:
    with serve(behaviour) as server:
        begun = time.monotonic()
        with pytest.raises(MetricsUnavailable):
            await backend.instant(source(server.url), [f"q{n}" for n in range(30)], AT)

        assert time.monotonic() - begun < 3


async def test_server_that_is_not_there_is_told_at_once(backend: PrometheusBackend) -> None:
    begun = time.monotonic()
    with pytest.raises(MetricsUnavailable):
        await backend.instant(source(f"http://127.0.0.1:{free_port()}", timeout_seconds=30), ["up"] * 20, AT)

    assert time.monotonic() - begun < 3


async def test_hanging_source_holds_up_no_other(backend: PrometheusBackend) -> None:
    with serve(hang) as bad, serve(always(200, vector("1"))) as good:
        hanging = asyncio.create_task(backend.instant(source(bad.url, "bad", 5), ["q"] * 10, AT))
        answers = await asyncio.wait_for(backend.instant(source(good.url, "good"), ["q"] * 10, AT), 2)
        hanging.cancel()

    assert len(answers) == 10


async def test_threads_that_hang_show_as_an_unavailable_source() -> None:
    # The client gives up on these, but their threads go on until the time-out.
    backend = PrometheusBackend(connections=1)
    with serve(hang) as server:
        slow = source(server.url, timeout_seconds=2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(backend.instant(slow, ["up"], AT), 0.1)

        with pytest.raises(MetricsUnavailable):
            await backend.instant(slow, ["up"], AT)

        server.behaviour = always(200, vector("1"))
        [answer] = await backend.instant(slow, ["up"], AT)
    await backend.aclose()

    assert answer.values == (1.0,)


async def test_huge_body_is_cut_off(backend: PrometheusBackend) -> None:
    huge = b" " * (MAX_BODY_BYTES + 1)
    with serve(always(200, huge)) as server:
        [answer] = await backend.instant(source(server.url, timeout_seconds=10), ["up"], AT)

    assert answer.error == "too_large"


async def test_query_travels_in_the_body_as_it_is(backend: PrometheusBackend) -> None:
    with serve(always(200, vector("1"))) as server:
        promql = 'a{b="ä&+%"}' + " + a" * 5000
        await backend.instant(source(server.url), [promql], AT + 0.25)

        [request] = server.requests
    assert request.path == "/api/v1/query"
    assert request.form["query"] == promql
    assert request.form["time"] == "1800000000.250"
    assert request.form["timeout"] == "800ms"


async def test_range_travels_on_whole_seconds(backend: PrometheusBackend) -> None:
    with serve(always(200, result([], "matrix"))) as server:
        await backend.ranges(source(f"{server.url}/prometheus/"), [RangeQuery("up", AT, AT + 900, 60)])

        [request] = server.requests
    assert request.path == "/prometheus/api/v1/query_range"
    assert (request.form["start"], request.form["end"]) == ("1800000000", "1800000900")
    assert request.form["step"] == "60"


async def test_too_many_points_are_not_asked_for(backend: PrometheusBackend) -> None:
    with serve(always(200, result([], "matrix"))) as server:
        fits = RangeQuery("up", AT, AT + (MAX_POINTS - 1) * 60, 60)
        await backend.ranges(source(server.url), [fits])
        with pytest.raises(ValueError, match="10000 points"):
            await backend.ranges(source(server.url), [RangeQuery("up", AT, AT + MAX_POINTS * 60, 60)])


async def test_credentials_and_headers_are_sent(backend: PrometheusBackend) -> None:
    with serve(always(200, vector("1"))) as server:
        spec = source(server.url, headers={"X-Scope-OrgID": "shop"}).spec
        await backend.instant(SourceAccess("token", spec, bearer_token=SECRET), ["up"], AT)
        await backend.instant(SourceAccess("basic", spec, basic_auth=("me", "pä")), ["up"], AT)

        token, basic = server.requests
    assert token.headers["Authorization"] == f"Bearer {SECRET}"
    assert token.headers["X-Scope-OrgID"] == "shop"
    assert base64.b64decode(basic.headers["Authorization"].removeprefix("Basic ")) in (
        "me:pä".encode(),
        "me:pä".encode("latin-1"),
    )


async def test_environment_has_no_say(
    backend: PrometheusBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serve(always(200, vector("1"))) as server:
        await backend.instant(source(server.url), ["up"], AT)

        [request] = server.requests
    assert "Authorization" not in request.headers


async def test_changed_source_is_asked_anew(backend: PrometheusBackend) -> None:
    with serve(always(200, vector("1"))) as first, serve(always(200, vector("2"))) as second:
        [before] = await backend.instant(source(first.url), ["up"], AT)
        [after] = await backend.instant(source(second.url), ["up"], AT)
        rotated = SourceAccess("default", source(second.url).spec, bearer_token="new")  # noqa: S106 - made up
        await backend.instant(rotated, ["up"], AT)

        assert second.requests[-1].headers["Authorization"] == "Bearer new"
    assert (before.values, after.values) == ((1.0,), (2.0,))


def rotated(server: FakeServer, token: str) -> SourceAccess:
    return SourceAccess("default", source(server.url, timeout_seconds=5).spec, bearer_token=token)


async def test_changes_never_disturb_what_is_under_way(backend: PrometheusBackend) -> None:
    token = 0

    async def ask() -> None:
        nonlocal token
        for _ in range(15):
            token += 1
            await backend.instant(rotated(server, str(token)), ["a", "b", "c"], AT)

    with serve(always(200, vector("1"))) as server:
        await asyncio.gather(*(ask() for _ in range(8)))


async def test_syncs_from_before_and_after_a_change_share_no_connections_and_break_none(
    backend: PrometheusBackend,
) -> None:
    with serve(always(200, vector("1"))) as server:
        for _ in range(5):
            for token in ("old", "new"):
                await backend.instant(rotated(server, token), ["up"], AT)

        assert len({request.client_address for request in server.requests}) == 2


async def test_connections_from_before_many_changes_are_closed(backend: PrometheusBackend) -> None:
    with serve(always(200, vector("1"))) as server:
        for token in ("first", "second", "third", "first"):
            await backend.instant(rotated(server, token), ["up"], AT)

        assert len({request.client_address for request in server.requests}) == 4


async def test_source_that_goes_meanwhile_is_unavailable(backend: PrometheusBackend) -> None:
    def slow(request: Request) -> None:
        assert isinstance(request.server, FakeServer)
        request.server.released.wait(0.1)
        request.answer(200, vector("1"))

    with serve(slow) as server:
        # Numbers cannot be joined, so that there are more requests than connections.
        queries = [f"{number}" for number in range(12)]
        requested_by = asyncio.ensure_future(backend.instant(source(server.url), queries, AT))
        await until(lambda: len(server.requests) > 0)
        backend.forget("default")
        with pytest.raises(MetricsUnavailable, match="removed"):
            await requested_by


async def test_connections_are_kept_alive(backend: PrometheusBackend) -> None:
    with serve(always(200, vector("1"))) as server:
        for _ in range(5):
            await backend.instant(source(server.url), ["up"], AT)

        assert len({request.client_address for request in server.requests}) == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"ca_pem": "no certificate"}, id="CA bundle"),
        pytest.param({"bearer_token": "two\nlines"}, id="token"),
    ],
)
async def test_what_cannot_be_sent_is_for_a_person_to_mend(backend: PrometheusBackend, broken: dict[str, str]) -> None:
    with serve(always(200, vector("1"))) as server, pytest.raises(SourceInvalid):
        await backend.instant(SourceAccess("default", source(server.url).spec, **broken), ["up"], AT)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server_tls(pki: Pki) -> ssl.SSLContext:
    pair = pki.issue("server", hosts=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


async def test_own_ca_is_trusted(backend: PrometheusBackend, pki: Pki, server_tls: ssl.SSLContext) -> None:
    with serve(always(200, vector("1")), tls=server_tls) as server:
        spec = source(server.url.replace("http:", "https:"), timeout_seconds=5).spec
        trusting = SourceAccess("default", spec, ca_pem=pki.ca_file.read_text())
        [answer] = await backend.instant(trusting, ["up"], AT)

    assert answer.values == (1.0,)


async def test_only_the_given_ca_is_trusted(
    backend: PrometheusBackend, tmp_path: Path, server_tls: ssl.SSLContext
) -> None:
    other = Pki.create(tmp_path)
    with serve(always(200, vector("1")), tls=server_tls) as server:
        spec = source(server.url.replace("http:", "https:"), timeout_seconds=5).spec
        for ca_pem in (None, other.ca_file.read_text()):
            with pytest.raises(MetricsUnavailable, match="TLS"):
                await backend.instant(SourceAccess("default", spec, ca_pem=ca_pem), ["up"], AT)

        assert not server.requests


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
async def test_verification_can_be_given_up(backend: PrometheusBackend, server_tls: ssl.SSLContext) -> None:
    with serve(always(200, vector("1")), tls=server_tls) as server:
        url = server.url.replace("http:", "https:")
        insecure = source(url, timeout_seconds=5, tls={"insecureSkipVerify": True})
        [answer] = await backend.instant(insecure, ["up"], AT)

    assert answer.values == (1.0,)


async def test_closed_backend_can_be_used_anew() -> None:
    backend = PrometheusBackend()
    with serve(always(200, vector("1"))) as server:
        await backend.instant(source(server.url), ["up"], AT)
        await backend.aclose()
        [again] = await backend.instant(source(server.url), ["up"], AT)
        await backend.aclose()

    assert again.values == (1.0,)


def test_secrets_do_not_show() -> None:
    access = SourceAccess("x", source("http://p").spec, SECRET, ("me", SECRET), SECRET)

    assert SECRET not in repr(access)


async def test_empty_batch_asks_nothing(backend: PrometheusBackend) -> None:
    assert list(await backend.instant(source("http://127.0.0.1:1"), [], AT)) == []
