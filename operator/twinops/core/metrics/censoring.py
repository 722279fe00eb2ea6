"""Censored values: only a lower bound is known, the true value may be higher."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.core.observation import Sample
from twinops.metric_definitions import definition, standard_names

_CAN_BE_CENSORED = standard_names(lambda row: row.censored_by)


def lower_bounds(samples: Mapping[str, Sample]) -> dict[str, str]:
    """Return the metrics whose value now is only a lower bound, each with the reason as a message.

    The rules are the column ``censored_by`` of the metric definitions. A value that is not fresh is no bound, and does
    not censor another one. CPU is compared in percent of its own basis: beyond 85 % of a limit requests wait; of a
    request there is no better threshold.

    A quantile of quality Bounded has no value, and so is not among them.
    """
    bounds: dict[str, str] = {}
    for metric in _CAN_BE_CENSORED:
        if _fresh(samples, metric) is None:
            continue
        for rule in definition(metric).censored_by:
            value = _fresh(samples, rule.metric)
            if value is not None and rule.reached(value):
                bounds[metric] = rule.why.format(value)
                break
    return bounds


def _fresh(samples: Mapping[str, Sample], metric: str) -> float | None:
    sample = samples.get(metric)
    return sample.value if sample is not None and sample.actionable else None
