"""Plans the queries of a twin: which metrics it has, and what is asked for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import DigitalTwinSpec, MetricSpec
from twinops.core.metrics.durations import stale_after_seconds, window_seconds
from twinops.core.metrics.plan import CUSTOM, MetricPlan, QueryPlan, RenderedQuery
from twinops.core.metrics.queries import Query, QueryScope, QueryTexts
from twinops.core.metrics.reasons import NOT_APPLICABLE, NOTHING_FOUND, SampleReason
from twinops.core.observation import Sample, Workload
from twinops.errors import SpecError
from twinops.metric_definitions import PodResource, definition

# After these qualities a quantile's bounds are asked for together with it.
_NOT_MEASURED = frozenset({Quality.BOUNDED, Quality.EMPTY})
# Placeholders of a pod's limit or request; a query with one of them gives a percentage of limits or requests.
_AMOUNTS = {
    PodResource.CPU: ("$(cpuCores)", "$(wholePodCores)"),
    PodResource.MEMORY: ("$(memoryBytes)", "$(wholePodBytes)"),
}


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
    """Return every metric that the twin has a query for, or that its spec names."""
    named: Iterable[str] = (
        *texts.metrics(spec.source.system_type),
        *(metric.name for metric in spec.source.metrics),
        *_named_in_spec(spec),
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
) -> QueryPlan:
    """Return the queries for every metric.

    Args:
        spec: the twin's.
        source: where the queries go to.
        workload: the target; None when there is none.
        namespace: the twin's.
        texts: built-in queries, placeholders and parser.
        previous: ``status.observed`` of the last sync; the candidates that answered then are asked first.
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
                planned = planner.nothing_to_ask(Quality.ERROR, error)
        else:
            planned = planner.built_in(spec)
        plans.append(planned)
        warnings += _warnings(planned)
    return QueryPlan(tuple(plans), tuple(warnings), refused)


def _named_in_spec(spec: DigitalTwinSpec) -> Iterable[str]:
    for named in (
        spec.expected_state.metrics,
        spec.thresholds,
        spec.absolute_thresholds,
        spec.limits,
        spec.limits_per_replica,
    ):
        yield from named


def _warnings(plan: MetricPlan) -> Iterable[str]:
    if plan.not_asked is not None and plan.not_asked.reason == SampleReason.NO_QUERY:
        yield plan.not_asked.message
    for rendered in plan.first:
        if plan.custom and rendered.inspection.warning:
            yield (
                f"metric {plan.metric}: our PromQL parser does not take the query ({rendered.inspection.warning}); "
                "Prometheus decides, but stale and missing series cannot be told"
            )


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans one metric; ``last`` is its answer at the last sync, None where there is none."""

    metric: str
    rules: MetricSpec
    source: MetricsSourceSpec
    workload: Workload | None
    scope: QueryScope
    texts: QueryTexts
    last: ObservedMetric | None

    def custom(self, template: str) -> MetricPlan:
        """Return the plan for a person's own query.

        Raises:
            SpecError: the query must be mended.
        """
        try:
            rendered = self._render(Query(CUSTOM, template))
        except SpecError as error:
            if error.reason not in NOT_APPLICABLE:
                raise
            return self.nothing_to_ask(Quality.MISSING, error)
        return self._plan((rendered,))

    def built_in(self, spec: DigitalTwinSpec) -> MetricPlan:
        """Return the plan for the built-in candidates: the one that answered last is asked first."""
        last = self.last
        queries = self.texts.candidates(spec.source.system_type, self.metric)
        name = "" if last is None else last.query
        answered, _problem = self._render_all(query for query in queries if query.name == name)
        others = [query for query in queries if not answered or query.name != name]
        nothing_found = last is not None and last.reason in NOTHING_FOUND
        if answered and not nothing_found:
            return self._plan(answered, lambda: self._render_all(others)[0])
        rendered, problem = self._render_all(others)
        if nothing_found and rendered and all(one.inspection.presence for one in rendered):
            return self._plan(answered, probed=rendered)
        candidates = (*answered, *rendered)
        if candidates:
            return self._plan(candidates)
        return self.nothing_to_ask(Quality.MISSING, problem or self._no_query(spec))

    def nothing_to_ask(self, quality: Quality, error: SpecError) -> MetricPlan:
        """Return the plan of a metric for which no query can be sent, because of this error."""
        sample = Sample(self.metric, quality, unit=self._unit(()), reason=error.reason, message=str(error))
        return MetricPlan(self.metric, self.rules, sample.unit, self._stale_after, not_asked=sample)

    def _plan(
        self,
        first: tuple[RenderedQuery, ...],
        render_fallbacks: Callable[[], tuple[RenderedQuery, ...]] = tuple,
        probed: tuple[RenderedQuery, ...] = (),
    ) -> MetricPlan:
        rendered = (*first, *probed)
        return MetricPlan(
            self.metric,
            self.rules,
            self._unit(rendered),
            self._stale_after,
            first,
            render_fallbacks,
            probed=probed,
            basis=self._basis_with_origin(rendered),
        )

    def _render_all(self, queries: Iterable[Query]) -> tuple[tuple[RenderedQuery, ...], SpecError | None]:
        """Return the queries that can be rendered, and the first reason why one cannot."""
        rendered = []
        problem = None
        for query in queries:
            try:
                rendered.append(self._render(query))
            except SpecError as error:
                problem = problem or error
        return tuple(rendered), problem

    def _render(self, query: Query) -> RenderedQuery:
        promql = self.texts.render(query, self.scope)
        inspection = self.texts.inspect(
            promql,
            stale_after_seconds=self._stale_after,
            scrape_interval_seconds=self.source.scrape_interval_seconds,
        )
        pods = self.texts.render(dataclasses.replace(query, template=query.pods), self.scope) if query.pods else ""
        with_bounds = self.last is not None and self.last.query == query.name and self.last.quality in _NOT_MEASURED
        return RenderedQuery(query, inspection.measured or promql, inspection, pods, with_bounds=with_bounds)

    def _no_query(self, spec: DigitalTwinSpec) -> SpecError:
        return SpecError(
            f"metric {self.metric} has no query, and {spec.source.system_type} has none built in: "
            f"give one in spec.source.metrics",
            reason=SampleReason.NO_QUERY,
        )

    @property
    def _stale_after(self) -> int:
        return stale_after_seconds(self.rules, self.source)

    def _unit(self, rendered: tuple[RenderedQuery, ...]) -> str:
        if self.rules.unit is not None:
            return self.rules.unit
        usual, basis = definition(self.metric).unit, self._basis(rendered)
        return f"{usual} of {basis}" if basis else usual

    def _basis(self, rendered: tuple[RenderedQuery, ...]) -> str:
        """Return ``limits`` or ``requests``, empty where the query does not divide by a pod's limit or request."""
        resource, workload = definition(self.metric).pod_resource, self.workload
        if resource is None or workload is None or not rendered:
            return ""
        if not any(placeholder in rendered[0].query.template for placeholder in _AMOUNTS[resource]):
            return ""
        return workload.cpu_basis if resource is PodResource.CPU else workload.memory_basis

    def _basis_with_origin(self, rendered: tuple[RenderedQuery, ...]) -> str:
        basis, workload = self._basis(rendered), self.workload
        if not basis or workload is None:
            return ""
        containers = f" (containers {', '.join(workload.containers)})" if workload.containers else ""
        return f"{basis} of {workload.read_from}{containers}" if workload.read_from else ""
