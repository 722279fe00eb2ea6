"""The standard metrics: one row for each, with every fact about it.

``api`` derives validation rules from the rows, ``core`` derives behaviour, so the table stands below both. Code that
needs a fact asks the row: ``definition(metric).unit``. To add a metric, add its row here and its queries in
``twinops.adapters.prometheus.candidates``.

Weights say how much each metric counts in the health score, by system type. Their reasons:

- What users notice first, errors and latency, makes up at least half the score wherever a system answers
  requests. (Google SRE book, chapter 6: latency, traffic, errors and saturation, watched from the user's side.)
- Saturation counts for what brings the system down: memory for caches and brokers, which evict or block
  when it is full, and connections for databases, which refuse clients when they run out.
- Throughput says more about the users than about the system, except for workers and queues, whose
  throughput is what they are for.

Only proportions matter: the weights of the metrics that are known are scaled so that they add up to 1. Of a system of
type Custom nothing is known, so there every metric counts the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from types import MappingProxyType

CPU = "cpuUsage"
MEMORY = "memoryUsage"
LATENCY = "latencyMs"
ERRORS = "errorRate"
THROUGHPUT = "throughputRps"
CONNECTIONS = "activeConnections"

DEFAULT_WEIGHT = 0.15
"""Weight where the table has none: about that of an average standard metric."""

FULL_PERCENT = 85.0
"""CPU in percent of its basis above which throughput is censored: more may be offered than is served."""

SOME_ERRORS = 0.01
"""Share of errors from which on throughput is censored: clients that fail leave, or retry."""

MANY_ERRORS = 0.05
"""Share of errors from which on latency is censored: its 95th percentile may lie among requests that failed."""

_MAX_UNKNOWN = 1024


class Sizing(Enum):
    """How required replicas are counted from a metric, the most exact formula first."""

    SHARED_BY_PODS = "a mean per pod: replicas in proportion to value / goal"
    LIMIT_PER_REPLICA = "a total: value / what spec.limitsPerReplica allows for one"
    STEP = "no formula: one step of growth, whose effect is verified before the next one"


class PodResource(StrEnum):
    """The resource of a pod whose limit or request a percentage is of."""

    CPU = "cpu"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class CensoredBy:
    """When a value is only a lower bound: another metric has reached a threshold.

    Attributes:
        metric: name of the other metric.
        threshold: in the other metric's unit.
        why: message with a place for the other metric's value.
        inclusive: whether the threshold itself counts as reached.
    """

    metric: str
    threshold: float
    why: str
    inclusive: bool = True

    def reached(self, value: float) -> bool:
        """Tell whether the other metric's value has reached the threshold."""
        return value > self.threshold or (self.inclusive and value == self.threshold)


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person should do, by what is wrong. An empty text means that nothing specific is known.

    Attributes:
        too_high: the value does harm above what is expected.
        too_low: the value does harm below what is expected.
        harmless: the value is off to its harmless side.
        no_effect: a step of a correction has not lowered the value.
        beyond_replicas: why another number of replicas does not mend it; where the metric drives corrections this is
            about values that are too low.
    """

    too_high: str = ""
    too_low: str = ""
    harmless: str = ""
    no_effect: str = ""
    beyond_replicas: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDefinition:
    """The facts about one metric; the defaults are those of a metric of which only the name is known.

    Attributes:
        name: as in the API.
        word: what a sentence calls it ("CPU may reach 95%").
        unit: unit of its values, empty where none is known.
        minimum: least possible value, None where unknown.
        maximum: largest possible value, None where unknown or unlimited.
        harmful_above: True when more is worse, False when less is worse, None when either may be.
        weights: by system type, 0..1.
        default_limit: value that costs the full health penalty where the spec gives no limit; None where no figure
            would be right for two systems.
        harmful_from_zero: whether every value above 0 costs health where the spec gives a limit and no expected value.
        sizing: how required replicas are counted from it; None where it drives no correction.
        mean_per_pod: whether it is a mean over the pods, so that the forecaster learns the total over all of them,
            which a change of replicas leaves as it is.
        offered: whether it is what clients bring, however many replicas there are; a correction does not change it.
        idle_without: name of the metric of traffic; while that is 0 there is nothing to measure, and nothing wrong.
            None where the metric does not depend on traffic.
        distorted_by_start_up: whether pods that start up distort it: they work before, and are slow while, they serve.
        pod_resource: what it is a percentage of; None where it is none.
        censored_by: when its value is only a lower bound; the first that applies gives the message.
        advice: what a person should do.
    """

    name: str
    word: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    harmful_above: bool | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    default_limit: float | None = None
    harmful_from_zero: bool = False
    sizing: Sizing | None = None
    mean_per_pod: bool = False
    offered: bool = False
    idle_without: str | None = None
    distorted_by_start_up: bool = False
    pod_resource: PodResource | None = None
    censored_by: tuple[CensoredBy, ...] = ()
    advice: Advice = Advice()

    @property
    def drives_corrections(self) -> bool:
        """Tell whether more replicas help against values that are too high."""
        return self.sizing is not None

    @property
    def subject(self) -> str:
        """The word at the beginning of a sentence; a name that a user gave stays as it is."""
        return self.word if self.word == self.name else self.word[:1].upper() + self.word[1:]

    def weight(self, system_type: str) -> float:
        """Return its weight in the health score, 0..1, before scaling to the metrics that are known."""
        return self.weights.get(system_type, DEFAULT_WEIGHT)

    def show(self, value: float) -> str:
        """Return the value as people write it: ``95%``, ``120 ms``, ``0.012``, ``1500 req/s``."""
        digits = f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004 - four figures
        if self.unit.startswith("%"):
            return f"{value:.0f}%" if abs(value) >= 10 else f"{value:.1f}%"  # noqa: PLR2004 - two figures
        return f"{digits} {self.unit}".rstrip()


def _weights(
    *, gateway: float, web: float, worker: float, database: float, cache: float, queue: float
) -> Mapping[str, float]:
    return MappingProxyType(
        {
            "APIGateway": gateway,
            "WebService": web,
            "Worker": worker,
            "Database": database,
            "Cache": cache,
            "MessageQueue": queue,
        }
    )


_ROWS = (
    MetricDefinition(
        name=CPU,
        word="CPU",
        unit="%",
        # Use beyond a request or limit is real, so percentages have no upper end.
        minimum=0,
        harmful_above=True,
        weights=_weights(gateway=0.15, web=0.20, worker=0.20, database=0.15, cache=0.10, queue=0.10),
        # A container near its CPU limit is throttled, whatever it serves.
        default_limit=95.0,
        sizing=Sizing.SHARED_BY_PODS,
        mean_per_pod=True,
        distorted_by_start_up=True,
        pod_resource=PodResource.CPU,
        advice=Advice(
            too_high="scale out, or raise the CPU request",
            harmless="nothing to mend; if it lasts, run fewer replicas or lower the CPU request",
            no_effect="See what the pods do whether or not there are requests",
        ),
    ),
    MetricDefinition(
        name=MEMORY,
        word="memory",
        unit="%",
        minimum=0,
        harmful_above=True,
        weights=_weights(gateway=0.10, web=0.15, worker=0.20, database=0.10, cache=0.25, queue=0.25),
        # A container near its memory limit is killed, whatever it serves.
        default_limit=95.0,
        pod_resource=PodResource.MEMORY,
        advice=Advice(
            too_high="look for a leak; if the use is real, raise the memory request and limit",
            harmless="nothing to mend; if it lasts, lower the memory request",
            beyond_replicas="a replica change cannot mend memory use",
        ),
    ),
    MetricDefinition(
        name=LATENCY,
        word="latency",
        unit="ms",
        minimum=0,
        harmful_above=True,
        weights=_weights(gateway=0.30, web=0.25, worker=0.05, database=0.30, cache=0.30, queue=0.15),
        sizing=Sizing.STEP,
        idle_without=THROUGHPUT,
        distorted_by_start_up=True,
        censored_by=(
            CensoredBy(ERRORS, MANY_ERRORS, "of requests that ended; {:.1%} fail, and would have taken longer"),
        ),
        advice=Advice(
            too_high="scale out; if that does not help, look at the slowest dependency",
            no_effect="Look at the slowest dependency",
        ),
    ),
    MetricDefinition(
        name=ERRORS,
        word="error rate",
        minimum=0,
        maximum=1,
        harmful_above=True,
        weights=_weights(gateway=0.30, web=0.30, worker=0.30, database=0.20, cache=0.20, queue=0.20),
        # A service that fails one request in twenty is out of any usual objective.
        default_limit=0.05,
        harmful_from_zero=True,
        idle_without=THROUGHPUT,
        advice=Advice(
            too_high="look at the logs and at the last rollout, and undo the rollout if they began with it",
            beyond_replicas="a replica change cannot mend errors",
        ),
    ),
    MetricDefinition(
        name=THROUGHPUT,
        word="throughput",
        unit="req/s",
        minimum=0,
        weights=_weights(gateway=0.05, web=0.05, worker=0.20, database=0.05, cache=0.05, queue=0.20),
        sizing=Sizing.LIMIT_PER_REPLICA,
        offered=True,
        censored_by=(
            CensoredBy(CPU, FULL_PERCENT, "what is served; more may be offered: CPU is at {:.0f}%", inclusive=False),
            CensoredBy(ERRORS, SOME_ERRORS, "what is served; more may be offered: {:.1%} of requests fail"),
        ),
        advice=Advice(
            too_high="scale out; if this is the new normal, raise expectedState.metrics.throughputRps",
            too_low="see whether traffic still reaches the workload: ingress, DNS, errors upstream",
            no_effect="Replicas do not lower the load that is offered; say in limitsPerReplica.throughputRps how much "
            "one serves, and they can be counted",
            beyond_replicas="more replicas do not bring traffic back",
        ),
    ),
    MetricDefinition(
        name=CONNECTIONS,
        word="connections",
        minimum=0,
        harmful_above=True,
        weights=_weights(gateway=0.10, web=0.05, worker=0.05, database=0.20, cache=0.10, queue=0.10),
        offered=True,
        advice=Advice(
            too_high="look for clients that do not close them; if the load is real, raise the connection limit",
            beyond_replicas="a replica change cannot mend open connections",
        ),
    ),
)

STANDARD: Mapping[str, MetricDefinition] = MappingProxyType({row.name: row for row in _ROWS})
"""The rows by name, in the order in which the API lists them."""


def definition(metric: str) -> MetricDefinition:
    """Return the row of a metric; for a name that is not in the table a row with the defaults."""
    return STANDARD.get(metric) or _unknown(metric)


@lru_cache(_MAX_UNKNOWN)
def _unknown(metric: str) -> MetricDefinition:
    return MetricDefinition(name=metric, word=metric)


def standard_names(has: Callable[[MetricDefinition], object]) -> tuple[str, ...]:
    """Return the names of the rows for which the predicate is true, in the table's order."""
    return tuple(row.name for row in _ROWS if has(row))


DRIVING = tuple(row.name for sizing in Sizing for row in _ROWS if row.sizing is sizing)
"""The metrics that drive corrections, those with the most exact formula first."""

DISTORTED_BY_START_UP = frozenset(standard_names(lambda row: row.distorted_by_start_up))
"""The metrics that pods which start up distort."""

MEAN_PER_POD = frozenset(standard_names(lambda row: row.mean_per_pod))
"""The metrics that are means over the pods."""
