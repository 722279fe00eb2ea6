"""Metrics in Prometheus' text format, and what can be read from two of them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a series, and its labels in alphabetical order."""

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Samples:
    """Values of series at one time, or what they have grown by between two."""

    values: Mapping[Key, float]

    def since(self, before: Samples) -> Samples:
        """Return what each series has grown by; a series that was not there before began at zero."""
        return Samples({key: value - before.values.get(key, 0.0) for key, value in self.values.items()})

    def total(self, name: str) -> float:
        """Return the sum over all series of this name; 0 where there is none."""
        return sum(value for (found, _), value in self.values.items() if found == name)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sums over the series of this name, by the value of a label; what is 0 is left out."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (found, labels), value in self.values.items():
            if found == name:
                sums[dict(labels).get(label, "")] += value
        return {label: value for label, value in sums.items() if value}

    def histogram(self, name: str) -> Histogram:
        """Return the histogram of this name, summed over all its series."""
        buckets: defaultdict[float, float] = defaultdict(float)
        for (found, labels), count in self.values.items():
            if found == f"{name}_bucket":
                buckets[float(dict(labels)["le"])] += count
        return Histogram(tuple(sorted(buckets.items())))

    def named(self, pattern: str) -> list[str]:
        """Return the names that match a regular expression from their beginning to their end."""
        return sorted({name for name, _ in self.values if re.fullmatch(pattern, name)})


@dataclass(frozen=True)
class Histogram:
    """Upper bounds with the number of observations up to each, in order of the bounds."""

    buckets: tuple[tuple[float, float], ...]

    @property
    def count(self) -> float:
        """Number of observations."""
        return self.buckets[-1][1] if self.buckets else 0.0

    def quantile(self, share: float) -> float | None:
        """Return a quantile, interpolated within its bucket; inf in the open one, None without observations."""
        wanted, below, before = share * self.count, 0.0, 0.0
        for bound, count in self.buckets:
            if count and count >= wanted:
                if math.isinf(bound):
                    return math.inf
                return below + (bound - below) * (wanted - before) / (count - before)
            below, before = bound, count
        return None

    def largest(self) -> float | None:
        """Return the bound that no observation is above, inf if there is none, None without observations."""
        return next((bound for bound, count in self.buckets if count and count >= self.count), None)


def parse(text: str, prefixes: Iterable[str]) -> Samples:
    """Read the series whose names begin with one of the prefixes.

    Args:
        text: an exposition in the text format; times of samples are passed over.
        prefixes: of the names that are wanted. An operator with many twins has many other series.
    """
    wanted = tuple(prefixes)
    values: dict[Key, float] = {}
    for line in text.splitlines():
        if line.startswith(wanted) and (match := _LINE.match(line)):
            labels = tuple(sorted(_LABEL.findall(match[2] or "")))
            values[match[1], labels] = float(match[3])
    return Samples(values)
