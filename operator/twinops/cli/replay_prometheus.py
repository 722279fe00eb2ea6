"""Recorded history from Prometheus for ``twinops replay``: by given queries, or by the queries of a twin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from kubernetes.aio import config as kube_config
from pydantic import ValidationError

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.connection import UNREADABLE
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api import API_VERSION
from twinops.api.source.kind import METRICS_SOURCE
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.kind import DIGITAL_TWIN
from twinops.api.twin.spec import MAX_METRICS, DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.batches import Gathered
from twinops.core.metrics.durations import sync_step
from twinops.core.metrics.queries import PARTIAL
from twinops.core.observation import Workload
from twinops.core.series import Floats
from twinops.engine.time_grid import Span, TimeGrid, without_unstored
from twinops.errors import ClusterError, InputError, MetricsUnavailable, NotFound
from twinops.ports.metrics import NO_STORE, RangeAnswer, SourceAccess
from twinops.printable import printable
from twinops.replay.files import read_text
from twinops.replay.recording import LONGEST_STEP, SHORTEST_STEP, Recording
from twinops.replay.spec import read_spec

QUERY_STEP = 300
MOST_ROWS = 500_000
SCRAPE_SECONDS = 15

_TIMEOUT_SECONDS = 60
_REPLICAS = "the number of pods"
_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(?![=~])\s*(.+)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AT_ONCE = 4
"""Range queries at a time, to limit the load on the Prometheus."""


@dataclass(frozen=True, slots=True)
class Access:
    """How Prometheus is reached, and the range to read.

    Attributes:
        url: base URL of its HTTP API.
        headers: ``NAME=VALUE``, sent with every request.
        token_file: holds a bearer token.
        ca_file: PEM bundle.
        until: end of the range, Unix seconds.
        seconds: length of the range.
        step: seconds; None for the default one.
    """

    url: str
    headers: Sequence[str]
    token_file: Path | None
    ca_file: Path | None
    until: float
    seconds: int
    step: int | None

    def source(self, of_twin: MetricsSourceSpec | None = None) -> SourceAccess:
        """Return the access as that of a MetricsSource.

        Args:
            of_twin: spec of the twin's MetricsSource, whose scrape interval and labels are taken; None for defaults.

        Raises:
            InputError: the URL or a header is invalid.
        """
        try:
            spec = MetricsSourceSpec(
                url=self.url,
                headers=dict(_header(text) for text in self.headers),
                scrape_interval_seconds=SCRAPE_SECONDS if of_twin is None else of_twin.scrape_interval_seconds,
                external_labels={} if of_twin is None else of_twin.external_labels,
                replica_labels=[] if of_twin is None else of_twin.replica_labels,
                timeout_seconds=_TIMEOUT_SECONDS,
            )
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            option = "--header" if field == "headers" else "--prometheus"
            raise InputError(f"{option}: {error.errors()[0]['msg']}; a URL begins with http:// or https://") from error
        token = None if self.token_file is None else read_text(self.token_file, "--token-file").strip()
        ca = None if self.ca_file is None else read_text(self.ca_file, "--ca-file")
        return SourceAccess("prometheus", spec, bearer_token=token, ca_pem=ca)

    def span(self, usual_step: int) -> Span:
        """Return the slots of the range.

        Args:
            usual_step: seconds between slots unless a step was given.

        Raises:
            InputError: too many slots, or a step outside of the bounds of a sync interval.
        """
        step = self.step or usual_step
        if not SHORTEST_STEP <= step <= LONGEST_STEP:
            raise InputError(f"--step: between {SHORTEST_STEP:.0f}s and {LONGEST_STEP / 60:.0f}m")
        rows = self.seconds // step
        if not 1 <= rows <= MOST_ROWS:
            raise InputError(f"--range and --step make {rows} rows; 2 to {MOST_ROWS} can be replayed")
        grid = TimeGrid(step, 0)
        last = int(self.until // step)
        return Span(grid, last - rows, last)


async def read_queries(access: Access, queries: Sequence[str]) -> Recording:
    """Return the recording of single queries, each of which gives one series.

    Raises:
        InputError: Prometheus does not answer, or a query is refused, empty, or gives several series at a time.
    """
    named = _named(queries)
    if len(named) > MAX_METRICS:
        raise InputError(f"{len(named)} queries, and a twin has at most {MAX_METRICS} metrics")
    span = access.span(QUERY_STEP)
    rows = await _ask(access.source(), span, named)
    for name, values in rows.items():
        if not np.isfinite(values).any():
            raise InputError(
                f"--query {name}: nothing was recorded in this time, or more than one series at any time, or a "
                f"quantile that its histogram's buckets are too coarse for; look at it in Prometheus, and make it one "
                f"series, for example by sum(…): {named[name]}"
            )
    return _recording(access, span, rows, ())


def _named(queries: Sequence[str]) -> dict[str, str]:
    """Return the queries by name; the default name is the metric's, else ``query`` and a number."""
    named: dict[str, str] = {}
    for number, text in enumerate(queries, 1):
        found = _NAME.fullmatch(text)
        bare = text.strip()
        name, promql = found.groups() if found else (bare if _PLAIN.fullmatch(bare) else f"query{number}", bare)
        if not promql:
            raise InputError("--query is empty: write NAME=PROMQL")
        if name in named:
            raise InputError(f"--query {name} is given twice: names must differ")
        named[name] = promql
    return named


async def read_twin(
    access: Access,
    namespace: str | None,
    name: str,
    kubeconfig: str | None,
    context: str | None,
    *,
    wanted: Sequence[str] = (),
) -> tuple[Recording, DigitalTwinSpec]:
    """Return the recording of a twin's metrics, by the queries that the operator uses, and its spec. Writes nothing.

    Args:
        access: to Prometheus.
        namespace: of the twin; None for the kubeconfig's.
        name: of the twin.
        kubeconfig: path; None for the default one.
        context: of the kubeconfig; None for its current one.
        wanted: metrics to read; all by default.

    Raises:
        InputError: Prometheus does not answer, or no metric of the twin has a history.
        SpecError: the twin's target or a query cannot be used.
        ClusterError: the API server did not answer, or refuses.
    """
    namespace = namespace or _namespace(kubeconfig, context)
    twin = await _read_cluster(namespace, name, kubeconfig, context)
    spec, workload = twin.spec, twin.workload
    source, span = access.source(twin.source), access.span(sync_step(spec.sync_frequency_seconds))
    backend = PrometheusBackend(connections=_AT_ONCE)
    try:
        gathered = await Gatherer(backend, PrometheusTexts()).gather(
            spec, source, namespace=namespace, workload=workload, previous=[], now=span.grid.time(span.last)
        )
        _check_wanted(wanted, gathered)
        queries = {metric: query for metric, query in gathered.queries.items() if not wanted or metric in wanted}
        rows = await _ask(source, span, queries, backend)
        counted = {_REPLICAS: gathered.replicas_query} if gathered.replicas_query else {}
        replicas = (await _ask(source, span, counted, backend)).get(_REPLICAS)
    finally:
        await backend.aclose()
    known = {metric: values for metric, values in rows.items() if np.isfinite(values).any()}
    if not known:
        reasons = "; ".join(f"{one.metric}: {one.message or one.reason}" for one in gathered.samples.values())
        raise InputError(f"twin {namespace}/{name}: Prometheus has no history of any of its metrics ({reasons})")
    silent = sorted(metric for metric in gathered.samples if metric not in known and (not wanted or metric in wanted))
    absent = [f"Prometheus has nothing of {', '.join(silent)}"] if silent else []
    notes = (*twin.notes, *absent, *gathered.warnings, *(() if workload is None else workload.notes))
    return _recording(access, span, known, notes, replicas), spec


@dataclass(frozen=True, slots=True)
class _ClusterTwin:
    """A twin as read from the cluster.

    Attributes:
        spec: of the twin.
        workload: its target, None without one.
        source: spec of its MetricsSource, None where that cannot be read.
        notes: remarks for the report.
    """

    spec: DigitalTwinSpec
    workload: Workload | None
    source: MetricsSourceSpec | None
    notes: tuple[str, ...]


async def _read_cluster(namespace: str, name: str, kubeconfig: str | None, context: str | None) -> _ClusterTwin:
    client = await KubeClient.connect(kubeconfig, context=context)
    try:
        spec = await _twin(client, namespace, name)
        target = spec.source.target_ref
        workload = None if target is None else await ClusterWorkloads(client, Discovery(client)).get(namespace, target)
        source, notes = await _source_of(client, spec.source.metrics_source_ref.name)
    finally:
        await client.aclose()
    return _ClusterTwin(spec, workload, source, notes)


def _check_wanted(wanted: Sequence[str], gathered: Gathered) -> None:
    for metric in wanted:
        if metric not in gathered.samples:
            raise InputError(f"--metric {metric}: no such metric; the twin has {', '.join(gathered.samples)}")


async def _twin(client: KubeClient, namespace: str, name: str) -> DigitalTwinSpec:
    try:
        body = await client.get(resource_path(API_VERSION, DIGITAL_TWIN.plural, namespace=namespace, name=name))
    except NotFound as error:
        raise InputError(f"there is no DigitalTwin {name} in namespace {namespace}; -n names another one") from error
    return read_spec(body, f"DigitalTwin {namespace}/{name}")


async def _source_of(client: KubeClient, source: str) -> tuple[MetricsSourceSpec | None, tuple[str, ...]]:
    """Return the spec of the twin's MetricsSource, None when it cannot be read, and remarks."""
    try:
        body = await client.get(resource_path(API_VERSION, METRICS_SOURCE.plural, name=source))
        return MetricsSourceSpec.from_wire(body.get("spec") or {}), ()
    except (ClusterError, ValidationError):
        note = (
            f"MetricsSource {source} cannot be read: a scrape interval of {SCRAPE_SECONDS} s is taken, no label of it"
        )
        return None, (note,)


def _namespace(kubeconfig: str | None, context: str | None) -> str:
    """Return the namespace of the kubeconfig's context."""
    try:
        contexts, current = kube_config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # no types
    except (kube_config.ConfigException, OSError, *UNREADABLE):
        return "default"
    chosen = next((one for one in contexts if one["name"] == context), current) if context else current
    return str((chosen.get("context") or {}).get("namespace") or "default")


async def _ask(
    source: SourceAccess, span: Span, queries: Mapping[str, str], backend: PrometheusBackend | None = None
) -> dict[str, Floats]:
    """Return each query's values on the span's slots, in range queries of at most 10,000 points."""
    client = backend or PrometheusBackend(connections=_AT_ONCE)
    rows: dict[str, Floats] = {}
    try:
        for name, promql in queries.items():
            pieces = span.queries(_for_history(promql))
            answers: list[RangeAnswer] = []
            for begin in range(0, len(pieces), _AT_ONCE):
                answers += await client.ranges(source, pieces[begin : begin + _AT_ONCE])
            answers = without_unstored(answers)
            error = next((answer.error for answer in answers if answer.error), "")
            if error in {PARTIAL, NO_STORE}:
                raise InputError(
                    f"--prometheus: only a part of what was recorded for {name} came back, since a store behind it is "
                    "out of reach. Figures from a part would be wrong; see which store it is, and try again"
                )
            if error:
                raise InputError(f"Prometheus refuses the query of {name} ({error}): {printable(promql)}")
            rows[name] = span.series(answers).values
    except MetricsUnavailable as error:
        url = urlsplit(source.spec.url)
        where = f"{url.scheme}://{url.hostname}" + (f":{url.port}" if url.port else "") + url.path
        raise InputError(f"--prometheus {where}: {error}; see whether it answers from here, and try again") from error
    finally:
        if backend is None:
            await client.aclose()
    return rows


def _for_history(promql: str) -> str:
    """Return the query that the operator uses for history, without quantiles that no observation supports."""
    found = PrometheusTexts().inspect(promql, stale_after_seconds=QUERY_STEP, scrape_interval_seconds=SCRAPE_SECONDS)
    return found.past or promql


def _recording(
    access: Access, span: Span, rows: Mapping[str, Floats], notes: Sequence[str], replicas: Floats | None = None
) -> Recording:
    """Return the recording, from the first to the last row with a known value."""
    values = np.stack(list(rows.values()))
    known = np.flatnonzero(np.isfinite(values).any(axis=0))
    first, last = int(known[0]), int(known[-1])
    if last == first:
        raise InputError("only one row was recorded in this time, so there is nothing to replay: ask for more")
    times = span.grid.phase + np.arange(span.first + first, span.first + last + 1, dtype=np.float64) * span.grid.step
    part = slice(first, last + 1)
    pods = None if replicas is None else replicas[part]
    return Recording(
        tuple(rows), times, values[:, part], float(span.grid.step), printable(access.url), tuple(notes), pods
    )


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9]{0,127}", name.strip()):
        raise InputError(f"--header {printable(text.partition('=')[0])!r}: write NAME=VALUE")
    return name.strip(), value.strip()
