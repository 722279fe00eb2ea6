"""Which metrics a twin has, and which queries are asked for each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from twinops.api.source.resource import MetricsSourceSpec
from twinops.api.twin.spec import DigitalTwinSpec, MetricSpec
from twinops.api.twin.status import ObservedMetric, Quality
from twinops.core.metrics.queries import Inspection, Query, QueryScope, QueryTexts
from twinops.core.observation import Sample, Workload
from twinops.errors import SpecError
from twinops.metric_definitions import PodResource, definition

_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*[\]:]")
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}

CUSTOM = "Custom"
"""Name of a query that a person wrote."""

MIN_STEP = 5
MAX_STEP = 900

# A rate needs two samples; four intervals leave room for one failed scrape and for uneven ones.
_SCRAPES_PER_WINDOW = 4
_SCRAPES_UNTIL_STALE = 8
_MIN_STALE_AFTER = 60

# These say that a metric is not to be had here; everything else a person can mend in the query.
_NOT_TO_BE_HAD = frozenset({"NoRequestsOrLimits", "NoScope"})
# After these a metric's candidates are looked for before they are asked.
_SILENT = frozenset({"NoSuchSeries", "EmptyResult"})
_UNSURE = frozenset({Quality.BOUNDED, Quality.EMPTY})
_AMOUNTS = {
    PodResource.CPU: ("$(cpuCores)", "$(wholePodCores)"),
    PodResource.MEMORY: ("$(memoryBytes)", "$(wholePodBytes)"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One rendered query, with the look-ups that go with it.

    Attributes:
        pods: counts the pods behind a mean over pods, else empty.
        unsure: whether the bounds of a quantile are asked for at once: the last time it was not measured.
    """

    query: Query
    promql: str
    inspection: Inspection
    pods: str = ""
    unsure: bool = False

    @property
    def past(self) -> str:
        """What is asked of the past."""
        return self.inspection.past or self.promql

    @property
    def texts(self) -> tuple[str, ...]:
        """What is sent: the query itself, and those for its freshness and its pods where there are such."""
        bounds = self.inspection.bounds if self.unsure else ""
        return tuple(text for text in (self.promql, self.inspection.freshness, self.pods, bounds) if text)


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """What is asked for one metric.

    Attributes:
        first: asked at once: a person's query, the candidate that answered last time, or all of them.
        rest: renders the other candidates; a steady sync does without.
        later: the other candidates, once they are asked because ``first`` yields nothing.
        scouted: the other candidates when nothing answered last time either: a look-up goes with ``first``, and
            they are asked only when it finds series of theirs.
        known_bad: the answer when there is nothing to ask.
        basis: what its percentage is of, and where that was read; empty where it is none.
    """

    metric: str
    rules: MetricSpec
    unit: str
    stale_after: int
    first: tuple[Asked, ...] = ()
    rest: Callable[[], tuple[Asked, ...]] = tuple
    later: tuple[Asked, ...] = ()
    scouted: tuple[Asked, ...] = ()
    known_bad: Sample | None = None
    basis: str = ""

    @property
    def custom(self) -> bool:
        """Tell whether a person wrote the query."""
        return any(asked.query.name == CUSTOM for asked in self.first)

    @property
    def candidates(self) -> tuple[Asked, ...]:
        """All that could answer, as far as they are rendered, the preferred one first."""
        return (*self.first, *(self.scouted or self.later))

    def answered(self, name: str) -> Asked | None:
        """Return the query of this name among those that were asked."""
        return next((one for one in (*self.first, *self.later) if one.query.name == name), None)

    def unfolded(self) -> MetricPlan:
        """Return the same plan with its other candidates rendered."""
        return dataclasses.replace(self, later=self.rest())


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for one twin.

    Attributes:
        refused: by metric, what a person must mend.
    """

    metrics: tuple[MetricPlan, ...]
    warnings: tuple[str, ...]
    refused: Mapping[str, SpecError]


def sync_step(sync_seconds: int) -> int:
    """Return the step of a twin's history: its sync interval, within 5 s and 15 min."""
    return min(max(sync_seconds, MIN_STEP), MAX_STEP)


def window_seconds(source: MetricsSourceSpec, sync_seconds: int) -> int:
    """Return the length of ``$(window)``: at least four scrape intervals, and at least one step."""
    return max(_SCRAPES_PER_WINDOW * source.scrape_interval_seconds, sync_step(sync_seconds))


def longest_range(promql: str) -> float:
    """Return the seconds that a query looks back over, by its longest range selector; 0 where it has none."""
    found = (_DURATION.findall(text) for text in _RANGE.findall(promql))
    return max((sum(float(amount) * _UNITS[unit] for amount, unit in parts) for parts in found), default=0.0)


def query_scope(
    spec: DigitalTwinSpec, source: MetricsSourceSpec, workload: Workload | None, namespace: str
) -> QueryScope:
    """Return what fills the placeholders of this twin's queries."""
    scope = QueryScope(
        namespace=namespace,
        target=spec.source.target_ref,
        window_seconds=window_seconds(source, spec.sync_frequency_seconds),
        labels=spec.source.labels,
        external_labels=source.external_labels,
        replica_labels=source.replica_labels,
    )
    if workload is None:
        return scope
    return dataclasses.replace(
        scope,
        cpu_cores=workload.pod_cpu_cores,
        memory_bytes=workload.pod_memory_bytes,
        cpu_problem=workload.cpu_problem,
        memory_problem=workload.memory_problem,
        pod_regex=workload.pod_regex,
        containers=workload.containers,
        pods_read=workload.pods_read,
    )


def metric_names(spec: DigitalTwinSpec, texts: QueryTexts) -> tuple[str, ...]:
    """Return every metric that the twin has a query for, or that its spec speaks of."""
    named: Iterable[str] = (
        *texts.metrics(spec.source.system_type),
        *(metric.name for metric in spec.source.metrics),
        *_spoken_of(spec),
    )
    return tuple(dict.fromkeys(named))


def make_plan(
    spec: DigitalTwinSpec,
    source: MetricsSourceSpec,
    workload: Workload | None,
    namespace: str,
    *,
    texts: QueryTexts,
    previous: Sequence[ObservedMetric],
) -> Plan:
    """Decide what is asked for every metric.

    Args:
        spec: the twin's.
        source: where the queries go to.
        workload: the target; None when there is none.
        namespace: the twin's.
        texts: built-in queries, placeholders and parser.
        previous: the last answers; the candidates that gave them are asked first.
    """
    scope = query_scope(spec, source, workload, namespace)
    rules = {metric.name: metric for metric in spec.source.metrics}
    last = {metric.name: metric for metric in previous}
    plans: list[MetricPlan] = []
    warnings: list[str] = []
    refused: dict[str, SpecError] = {}
    for metric in metric_names(spec, texts):
        rule = rules.get(metric) or MetricSpec(name=metric)
        planner = _Planner(metric, rule, source, workload, scope, texts, last.get(metric))
        if rule.query is not None:
            try:
                planned = planner.custom(rule.query)
            except SpecError as error:
                refused[metric] = SpecError(f"metric {metric}: {error}", reason=error.reason)
                planned = planner.bad(Quality.ERROR, error)
        else:
            planned = planner.built_in(spec)
        plans.append(planned)
        warnings += _warnings(planned)
    return Plan(tuple(plans), tuple(warnings), refused)


def _spoken_of(spec: DigitalTwinSpec) -> Iterable[str]:
    for named in (
        spec.expected_state.metrics,
        spec.thresholds,
        spec.absolute_thresholds,
        spec.limits,
        spec.limits_per_replica,
    ):
        yield from named


def _warnings(plan: MetricPlan) -> Iterable[str]:
    if plan.known_bad is not None and plan.known_bad.reason == "NoQuery":
        yield plan.known_bad.message
    for asked in plan.first:
        if plan.custom and asked.inspection.warning:
            yield (
                f"metric {plan.metric}: our PromQL parser does not take the query ({asked.inspection.warning}); "
                "Prometheus decides, but stale and missing series cannot be told"
            )


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans one metric."""

    metric: str
    rules: MetricSpec
    source: MetricsSourceSpec
    workload: Workload | None
    scope: QueryScope
    texts: QueryTexts
    last: ObservedMetric | None

    def custom(self, template: str) -> MetricPlan:
        try:
            asked = self._ask(Query(CUSTOM, template))
        except SpecError as error:
            if error.reason not in _NOT_TO_BE_HAD:
                raise
            return self.bad(Quality.MISSING, error)
        return self._plan((asked,))

    def built_in(self, spec: DigitalTwinSpec) -> MetricPlan:
        last = self.last
        queries = self.texts.candidates(spec.source.system_type, self.metric)
        winner = "" if last is None else last.query
        remembered, _problem = self._ask_all(query for query in queries if query.name == winner)
        others = [query for query in queries if not remembered or query.name != winner]
        silent = last is not None and last.reason in _SILENT
        if remembered and not silent:
            return self._plan(remembered, lambda: self._ask_all(others)[0])
        asked, problem = self._ask_all(others)
        if silent and asked and all(one.inspection.presence for one in asked):
            return self._plan(remembered, scouted=asked)
        asked = (*remembered, *asked)
        return self._plan(asked) if asked else self.bad(Quality.MISSING, problem or self._no_query(spec))

    def bad(self, quality: Quality, error: SpecError) -> MetricPlan:
        sample = Sample(self.metric, quality, unit=self._unit(()), reason=error.reason, message=str(error))
        return MetricPlan(self.metric, self.rules, sample.unit, self._stale_after, known_bad=sample)

    def _plan(
        self,
        first: tuple[Asked, ...],
        rest: Callable[[], tuple[Asked, ...]] = tuple,
        scouted: tuple[Asked, ...] = (),
    ) -> MetricPlan:
        asked = (*first, *scouted)
        return MetricPlan(
            self.metric,
            self.rules,
            self._unit(asked),
            self._stale_after,
            first,
            rest,
            scouted=scouted,
            basis=self._read_from(asked),
        )

    def _ask_all(self, queries: Iterable[Query]) -> tuple[tuple[Asked, ...], SpecError | None]:
        """Return what can be asked, and the first reason why something cannot."""
        asked = []
        problem = None
        for query in queries:
            try:
                asked.append(self._ask(query))
            except SpecError as error:
                problem = problem or error
        return tuple(asked), problem

    def _ask(self, query: Query) -> Asked:
        promql = self.texts.render(query, self.scope)
        inspection = self.texts.inspect(
            promql,
            stale_after_seconds=self._stale_after,
            scrape_interval_seconds=self.source.scrape_interval_seconds,
        )
        pods = self.texts.render(dataclasses.replace(query, template=query.pods), self.scope) if query.pods else ""
        unsure = self.last is not None and self.last.query == query.name and self.last.quality in _UNSURE
        return Asked(query, inspection.measured or promql, inspection, pods, unsure=unsure)

    def _no_query(self, spec: DigitalTwinSpec) -> SpecError:
        return SpecError(
            f"metric {self.metric} has no query, and {spec.source.system_type} has none built in: "
            f"give one in spec.source.metrics",
            reason="NoQuery",
        )

    @property
    def _stale_after(self) -> int:
        default = max(_MIN_STALE_AFTER, _SCRAPES_UNTIL_STALE * self.source.scrape_interval_seconds)
        return self.rules.stale_after_seconds or default

    def _unit(self, asked: tuple[Asked, ...]) -> str:
        if self.rules.unit is not None:
            return self.rules.unit
        usual, basis = definition(self.metric).unit, self._basis(asked)
        return f"{usual} of {basis}" if basis else usual

    def _basis(self, asked: tuple[Asked, ...]) -> str:
        """Return what a percentage is of, empty where the query does not ask what a pod may use."""
        resource, workload = definition(self.metric).pod_resource, self.workload
        if resource is None or workload is None or not asked:
            return ""
        if not any(placeholder in asked[0].query.template for placeholder in _AMOUNTS[resource]):
            return ""
        return workload.cpu_basis if resource is PodResource.CPU else workload.memory_basis

    def _read_from(self, asked: tuple[Asked, ...]) -> str:
        basis, workload = self._basis(asked), self.workload
        if not basis or workload is None:
            return ""
        containers = f" (containers {', '.join(workload.containers)})" if workload.containers else ""
        return f"{basis} of {workload.read_from}{containers}" if workload.read_from else ""
