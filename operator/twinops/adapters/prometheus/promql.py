"""Fills the placeholders of PromQL queries with escaped values.

The quotes around a placeholder decide how its value is escaped, as in the PromQL lexer: with backslashes within double
and single quotes, not at all within backticks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from twinops.adapters.prometheus.lexing import QUOTED
from twinops.api.references import TargetRef
from twinops.core.metrics.pod_names import pod_regex
from twinops.core.metrics.queries import Query, QueryScope
from twinops.core.metrics.reasons import SampleReason
from twinops.errors import SpecError

PLACEHOLDERS = ("namespace", "name", "podRegex", "window", "cpuCores", "memoryBytes", "label.KEY")
"""The placeholders that a query may contain, as messages list them."""

MAX_LENGTH = 64 * 1024
"""Characters of a query with its placeholders filled in."""

_PLACEHOLDER = re.compile(r"\$\(([^()]*)\)")
_QUOTED_OR_QUANTILE = re.compile(rf"{QUOTED.pattern}|(?P<quantile>\bhistogram_quantile\(\s*+[0-9.]++\s*+,)", re.DOTALL)
_LARGEST = "histogram_quantile(1,"
_BARE_WORD = re.compile(r"[A-Za-z0-9_:.]*")
_NOT_A_LABEL = re.compile(r"[^A-Za-z0-9_]")
_LABEL_PREFIX = "label."
# The label by which things are counted, and labels that do not distinguish two of them: see ``candidates.shapes``.
_OF_A_POD = ("pod", "container_id, instance, pod_ip, service, uid")
_APART = ("instance", "container, container_id, pod, pod_ip, service, uid")
_VIEWS = ("job", "cluster", "monitor", "prometheus", "prometheus_replica", "receive_replica", "replica", "__replica__")
_OF_THE_TARGET = ("name", "podRegex", "cpuCores", "memoryBytes")


def render(query: Query, scope: QueryScope) -> str:
    """Fill in the placeholders of a query.

    Raises:
        SpecError: reason ``UnknownPlaceholder``; ``PlaceholderUnusable`` when a value cannot be
            written where its placeholder stands; ``QueryTooLong`` beyond ``MAX_LENGTH``; ``NoTarget``
            when the twin has no target to name; ``NoRequestsOrLimits`` when a pod's CPU or memory is not
            known; ``NoScope`` when nothing says which series belong to the twin.
    """
    values = dict(_own_values(scope))
    if query.matchers:
        values |= _built_in_values(scope)
        values["scope"] = _plain(_matchers(query, scope, values))
        apart = scope.target is None or query.needs_labels
        values["each"], values["ways"] = map(_plain, _APART if apart else _OF_A_POD)
        values["views"] = _plain(", ".join(dict.fromkeys((*_VIEWS, *scope.replica_labels))))
    return _fill(query.template, values)


def quoted(value: str) -> str:
    """Return the value as a PromQL string in double quotes."""
    return f'"{_escape(value, chr(34))}"'


def without_backticks(promql: str) -> str:
    """Return the same query with its raw strings written in double quotes."""
    return QUOTED.sub(_doubly_quoted, promql)


def _doubly_quoted(token: re.Match[str]) -> str:
    text = token.group()
    return quoted(text[1:-1]) if text[0] == "`" and text.endswith("`", 1) else text


def of_largest(promql: str) -> str:
    """Return the same query with quantile 1 in every ``histogram_quantile``; empty when that changes nothing."""
    asked = _QUOTED_OR_QUANTILE.sub(lambda token: _LARGEST if token.group("quantile") else token.group(), promql)
    return "" if asked == promql else asked


def label_name(key: str) -> str:
    """Return a Kubernetes label key as Prometheus' ``labelmap`` convention writes it: ``_`` for other characters."""
    name = _NOT_A_LABEL.sub("_", key)
    return f"_{name}" if name[:1].isdigit() else name


Value = Callable[[str], str]
"""Returns the value of a placeholder, given the quote around it; may raise a ``SpecError``."""


def _own_values(scope: QueryScope) -> Iterator[tuple[str, Value]]:
    yield "namespace", _text("namespace", scope.namespace)
    yield "window", _plain(f"{scope.window_seconds}s")
    target = scope.target
    if target is None:
        yield from ((name, _no_target(name)) for name in _OF_THE_TARGET)
    else:
        yield "name", _text("name", target.name)
        yield "podRegex", _pods(target, scope.pod_regex)
        yield "cpuCores", _amount("CPU", scope.cpu_cores, scope.cpu_problem)
        yield "memoryBytes", _amount("memory", scope.memory_bytes, scope.memory_problem)
    for key, value in scope.labels.items():
        yield _LABEL_PREFIX + key, _text(_LABEL_PREFIX + key, value)


def _built_in_values(scope: QueryScope) -> Mapping[str, Value]:
    """Return the placeholders that only the built-in queries may use."""
    known = f'container=~"{"|".join(scope.containers)}"' if scope.containers else 'container!="",container!="POD"'
    values = {"containers": _plain(known)}
    if scope.target is not None:
        values["wholePodCores"] = _whole(scope, _amount("CPU", scope.cpu_cores, scope.cpu_problem))
        values["wholePodBytes"] = _whole(scope, _amount("memory", scope.memory_bytes, scope.memory_problem))
    return values


def _fill(template: str, values: Mapping[str, Value]) -> str:
    parts: list[str] = []
    position = 0
    length = len(template)
    for found, quote in _with_quotes(template):
        value = values.get(found.group(1))
        if value is None:
            raise SpecError(_unknown(found.group(), values), reason="UnknownPlaceholder")
        parts += template[position : found.start()], value(quote)
        position = found.end()
        length += len(parts[-1])
        if length > MAX_LENGTH:
            raise SpecError(
                f"the query has more than {MAX_LENGTH} characters once its placeholders are filled in: use fewer",
                reason="QueryTooLong",
            )
    return "".join(parts) + template[position:]


def _with_quotes(template: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield every placeholder with the quote around it, ``#`` within a comment, an empty string within none."""
    tokens = QUOTED.finditer(template)
    token = next(tokens, None)
    for found in _PLACEHOLDER.finditer(template):
        while token is not None and token.end() <= found.start():
            token = next(tokens, None)
        yield found, template[token.start()] if token is not None and token.start() < found.start() else ""


def _unknown(placeholder: str, values: Mapping[str, Value]) -> str:
    labels = [name for name in values if name.startswith(_LABEL_PREFIX)]
    known = ", ".join(f"$({name})" for name in (*PLACEHOLDERS[:-1], *labels))
    return (
        f"unknown placeholder {placeholder}; known are {known}. $(label.KEY) takes a KEY that stands in "
        "spec.source.labels"
    )


def _matchers(query: Query, scope: QueryScope, values: Mapping[str, Value]) -> str:
    parts: list[str] = []
    labels: dict[str, str] = dict(scope.labels)
    if scope.target is not None:
        parts.append(_fill(query.matchers, values))
        labels = labels if query.takes_labels else {}
    parts += [f"{label_name(key)}={quoted(value)}" for key, value in sorted(labels.items())]
    if not parts or (query.needs_labels and not scope.labels):
        raise SpecError(
            "nothing says which series belong to this twin: set spec.source.labels", reason=SampleReason.NO_SCOPE
        )
    parts += [f"{name}={quoted(value)}" for name, value in sorted(scope.external_labels.items())]
    return ",".join(parts)


def _plain(text: str) -> Value:
    return lambda _quote: text


def _amount(what: str, value: float | None, problem: str) -> Value:
    def show(_quote: str) -> str:
        if value is None:
            raise SpecError(
                f"{problem or 'a container of the pod template'} has neither a limit nor a request for {what}: "
                "set one, or give a query in spec.source.metrics",
                reason=SampleReason.NO_REQUESTS_OR_LIMITS,
            )
        return f"{value:.12g}"

    return show


def _whole(scope: QueryScope, amount: Value) -> Value:
    """Return the limit or request of a whole pod, for series that do not distinguish its containers."""
    if scope.pods_read or scope.cpu_cores is None:
        return amount

    def refuse(_quote: str) -> str:
        raise SpecError(
            "the series are of whole pods, and which containers these have is not known: "
            "let the operator read pods, or scrape /metrics/cadvisor",
            reason=SampleReason.NO_REQUESTS_OR_LIMITS,
        )

    return refuse


def _pods(target: TargetRef, regex: str | None) -> Value:
    if regex is not None:
        return _text("podRegex", regex or pod_regex(target))

    def refuse(_quote: str) -> str:
        raise SpecError(
            "the names of the target's pods follow no rule and are too many to be listed", reason=SampleReason.NO_SCOPE
        )

    return refuse


def _no_target(name: str) -> Value:
    def refuse(_quote: str) -> str:
        raise SpecError(f"$({name}) needs spec.source.targetRef, which is not set", reason="NoTarget")

    return refuse


def _text(name: str, value: str) -> Value:
    def show(quote: str) -> str:
        # Outside of quotes a value may only be part of a metric name.
        fits = "`" not in value if quote == "`" else bool(quote) or _BARE_WORD.fullmatch(value) is not None
        if not fits:
            raise SpecError(
                f"the value of $({name}) cannot stand where it is used; put the placeholder into double quotes",
                reason="PlaceholderUnusable",
            )
        return _escape(value, quote)

    return show


def _escape(value: str, quote: str) -> str:
    if quote not in ('"', "'"):
        return value
    escaped = value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return escaped.replace("\n", "\\n").replace("\r", "\\r")
