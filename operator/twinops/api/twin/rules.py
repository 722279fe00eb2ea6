"""The CEL validation rules of ``DigitalTwin``, by the model that they belong to."""

from __future__ import annotations

from twinops.api.rules import Rule, literal, ordered
from twinops.metric_definitions import STANDARD, standard_names

_NAMES = ", ".join(STANDARD)
# Each of these has built-in queries; for any other name the spec must give the query.
_STANDARD = literal(STANDARD)
# Of these, more is worse, so a limit below the expected value can only be a mistake.
_HARMFUL_ABOVE = literal(standard_names(lambda row: row.harmful_above))
_NEVER_NEGATIVE = standard_names(lambda row: row.minimum == 0)
_SHARES = standard_names(lambda row: row.maximum == 1)
_PLACEHOLDERS = r"namespace|name|podRegex|window|cpuCores|memoryBytes|label[.][-A-Za-z0-9_./]+"
_LABEL_KEY = (
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"  # qualified name
)
_HAS_QUERY = f"has(m.query) || (m.name in {_STANDARD} && self.systemType != 'Custom')"

METRIC_SPEC = (
    Rule(
        "self.onMissing != 'Value' || has(self.missingValue)",
        "onMissing Value needs missingValue",
        field_path=".onMissing",
    ),
    Rule(
        "self.onMissing == 'Value' || !has(self.missingValue)",
        "missingValue is used with onMissing Value only",
        field_path=".missingValue",
    ),
    Rule(
        f"!has(self.query) || self.query.matches(r'^([^$]|[$][^(]|[$][(]({_PLACEHOLDERS})[)])*[$]?$')",
        "unknown placeholder; known are $(namespace), $(name), $(podRegex), $(window), $(cpuCores), "
        "$(memoryBytes) and $(label.KEY)",
        field_path=".query",
    ),
)

SOURCE = (
    Rule(
        "has(self.targetRef) == has(oldSelf.targetRef)"
        " && (!has(self.targetRef) || self.targetRef == oldSelf.targetRef)",
        "targetRef cannot be changed; delete this twin and create one for the other target",
        field_path=".targetRef",
    ),
    Rule(
        "self.systemType != 'Custom' || (has(self.metrics) && self.metrics.size() > 0)",
        "systemType Custom has no built-in queries: give metrics, each with its query",
        field_path=".metrics",
    ),
    Rule(
        f"!has(self.metrics) || self.metrics.all(m, {_HAS_QUERY})",
        f"a metric without query must be one with a built-in query ({_NAMES}; none of Custom): give its query",
        field_path=".metrics",
    ),
    Rule(
        "has(self.targetRef) || (has(self.labels) && self.labels.size() > 0)"
        " || (has(self.metrics) && self.metrics.size() > 0)",
        "without targetRef give labels that this system's series carry, or metrics with their own queries",
    ),
    Rule(
        "has(self.targetRef) || !has(self.metrics) || self.metrics.all(m, !has(m.query) || "
        "!m.query.matches(r'[$][(](name|podRegex|cpuCores|memoryBytes)[)]'))",
        "$(name), $(podRegex), $(cpuCores) and $(memoryBytes) come from the target: give targetRef or leave them out",
        field_path=".metrics",
    ),
    Rule(
        "!has(self.labels) || self.labels.all(k, k.matches('^[A-Za-z0-9_][-A-Za-z0-9_./]{0,316}$') && "
        "!k.startsWith('__'))",
        "keys must be Prometheus label names, not beginning with __, or Kubernetes label keys",
        field_path=".labels",
    ),
)

REPLICA_RANGE = (
    Rule("has(self.min) || has(self.max)", "give min, max or both"),
    ordered("min", "max"),
)

HORIZONS = (Rule("self.all(h, self.exists_one(o, o == h))", "horizons must differ from each other"),)

BOUNDS = (ordered("minReplicas", "maxReplicas"),)

TARGET_LABELS = (
    Rule(
        f"self.all(k, k.matches(r'{_LABEL_KEY}'))",
        "keys must be Kubernetes label keys, for example team or example.com/tier",
    ),
)

METRIC_VALUES = (
    Rule(
        f"self.all(k, self[k] >= 0.0 || !(k in {literal(_NEVER_NEGATIVE)}))",
        f"{', '.join(_NEVER_NEGATIVE)} are never below 0",
    ),
    *(
        Rule(
            f"!('{name}' in self) || self['{name}'] <= 1.0",
            f"{name} is a share between 0 and 1; write 0.02 for 2 %",
        )
        for name in _SHARES
    ),
)


def _known(path: str) -> Rule:
    """Return the rule that every key of the map at ``path`` is a metric of this twin.

    The form of keys needs no rule of its own: a key that is no valid name is no metric of the twin either.
    """
    parts = path.split(".")
    there = " && ".join(f"has(self.{'.'.join(parts[: i + 1])})" for i in range(len(parts)))
    ours = "has(self.source.metrics) && self.source.metrics.exists(m, m.name == k)"
    known = f"((k in {_STANDARD} && self.source.systemType != 'Custom') || ({ours}))"
    return Rule(
        f"!({there}) || self.{path}.all(k, {known})",
        f"this twin has no such metric: every key must be {_NAMES} "
        "or the name of one in source.metrics (for Custom the latter only)",
        field_path=f".{path}",
    )


_EXPECTED = "(has(self.expectedState) && has(self.expectedState.metrics))"
_NO_PERCENTAGE = (
    "self.expectedState.metrics[k] == 0.0 && !(has(self.absoluteThresholds) && k in self.absoluteThresholds)"
)
_LIMIT_FITS = (
    f"(k in {_HARMFUL_ABOVE} ? self.limits[k] > self.expectedState.metrics[k]"
    " : self.limits[k] != self.expectedState.metrics[k])"
)

SPEC = (
    *(
        _known(path)
        for path in ("expectedState.metrics", "thresholds", "absoluteThresholds", "limits", "limitsPerReplica")
    ),
    Rule(
        f"!{_EXPECTED} || self.expectedState.metrics.all(k, !({_NO_PERCENTAGE}))",
        "a deviation in percent of 0 has no meaning: give absoluteThresholds for metrics expected at 0",
        field_path=".expectedState.metrics",
    ),
    Rule(
        f"!has(self.limits) || !{_EXPECTED} || self.limits.all(k, !(k in self.expectedState.metrics) || {_LIMIT_FITS})",
        "a limit must lie beyond the value in expectedState.metrics",
        field_path=".limits",
    ),
    Rule(
        "has(self.source.targetRef) || !has(self.expectedState) || !(has(self.expectedState.replicas) || "
        "has(self.expectedState.version) || has(self.expectedState.labels))",
        "replicas, version and labels are read from the target: give source.targetRef or leave them out",
        field_path=".expectedState",
    ),
    Rule(
        "has(self.source.targetRef) || !has(self.autoCorrection.horizontalPodAutoscalerRef)",
        "a HorizontalPodAutoscaler needs a target: give source.targetRef or leave it out",
        field_path=".autoCorrection.horizontalPodAutoscalerRef",
    ),
)
