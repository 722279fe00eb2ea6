"""Regular expressions for PromQL that match the names of a workload's pods.

The API server lists the pods that a workload has now. Series carry only names of pods, also of pods that are gone. So
the names of the present pods are generalised to the patterns by which Kubernetes generates names: the owner's name, a
hash, five random characters, an ordinal. A name that fits no pattern is listed literally.

Source: Kubernetes ``k8s.io/apiserver/pkg/storage/names`` (generated names: the base is cut to 58
characters, five random ones follow), ``k8s.io/apimachinery/pkg/util/rand`` (the alphabet without
vowels and look-alikes) and ``pkg/controller`` (the pod template hash: a 32-bit number whose decimal
digits are mapped into that alphabet, so that only ten of its letters occur).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from twinops.api.references import TargetRef

MAX_LENGTH = 4096
"""Longest expression, in characters: every query contains it several times."""

NO_POD = "-"
"""An expression that matches no pod, since it is no valid name."""

_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_HASH_LETTER = "[456789bcdf]"
_MAX_HASH = 10
_ORDINAL = "[0-9]+"
_MAX_BASE = 58
_WITH_HASH = frozenset({"Deployment", "Rollout"})
_WITHOUT_HASH = frozenset({"ReplicaSet", "ReplicationController", "DaemonSet"})

_ENDS_RANDOM = re.compile(rf"(.+-){_RANDOM}")
_ENDS_HASH = re.compile(rf"(.+)-{_HASH_LETTER}{{1,{_MAX_HASH}}}")
_ENDS_ORDINAL = re.compile(rf"(.+)-{_ORDINAL}")
_IS_HASHED = re.compile(rf"{_HASH_LETTER}{{1,{_MAX_HASH}}}-{_RANDOM}")
_IS_RANDOM = re.compile(_RANDOM)
_IS_ORDINAL = re.compile(_ORDINAL)

Others = Callable[[str], Iterable[str]]
"""Returns the names of other workloads' pods that begin with a prefix."""


@dataclass(frozen=True, slots=True)
class NamedPod:
    """A pod of the workload, and its controller.

    Attributes:
        owner_kind: kind of its controller, empty where it has none.
        owner: name of its controller, likewise.
    """

    name: str
    owner_kind: str = ""
    owner: str = ""


class _Form(StrEnum):
    """The part of a name that follows its base."""

    HASH = "hash and random"
    RANDOM = "random"
    ORDINAL = "ordinal"
    NAME = "nothing"


@dataclass(frozen=True, slots=True, order=True)
class _Pattern:
    base: str
    form: _Form

    @property
    def regex(self) -> str:
        match self.form:
            case _Form.HASH:
                return _with_hash(self.base)
            case _Form.RANDOM:
                return _generated(self.base)
            case _Form.ORDINAL:
                return f"{_literal(self.base)}-{_ORDINAL}"
            case _:
                return _literal(self.base)

    def fits(self, name: str) -> bool:
        # Without an expression per base: there are so many bases that each would be compiled anew.
        match self.form:
            case _Form.HASH if _is_cut(self.base):
                return re.fullmatch(self.regex, name) is not None
            case _Form.HASH:
                begin, end = f"{self.base}-", _IS_HASHED
            case _Form.RANDOM:
                begin, end = self.base[:_MAX_BASE], _IS_RANDOM
            case _Form.ORDINAL:
                begin, end = f"{self.base}-", _IS_ORDINAL
            case _:
                return name == self.base
        return name.startswith(begin) and end.fullmatch(name, len(begin)) is not None

    def free(self, others: Others) -> bool:
        """Tell whether no pod of another workload has a name of this pattern."""
        whole = self.form in {_Form.HASH, _Form.ORDINAL} and len(self.base) < _MAX_BASE
        return not any(self.fits(name) for name in others(f"{self.base}-" if whole else self.base[:_MAX_BASE]))


def pod_regex(target: TargetRef) -> str:
    """Return a regular expression (RE2, to be anchored) for the pods of a target, made of its own name alone.

    It has no backslash, so that it is the same in every kind of PromQL string. The pods of an unknown kind may be
    named in any of the three usual ways: ordinal, random suffix, hash and random suffix. Names that Kubernetes had to
    cut may match the pods of another workload with the same first characters; the name does not tell them apart.
    """
    name = target.name
    if target.kind == "StatefulSet":
        return f"{_literal(name)}-{_ORDINAL}"
    if target.kind in _WITH_HASH:
        return _with_hash(name)
    if target.kind in _WITHOUT_HASH:
        return _generated(f"{name}-")
    if target.kind == "Job":
        # An indexed Job puts the completion index in front of the random part. A long name is cut there, so that only
        # short names can be matched exactly.
        return f"{_literal(name)}-({_ORDINAL}-)?{_RANDOM}" if len(name) < _MAX_BASE else _generated(name)
    return f"({_literal(name)}-{_ORDINAL}|{_generated(f'{name}-')}|{_with_hash(name)})"


def regex_of(target: TargetRef, pods: Sequence[NamedPod], others: Others) -> str | None:
    """Return a regular expression for these pods and for past and future pods whose names have the same patterns.

    A pattern that also fits a pod of another workload is replaced by a narrower one, or by the names themselves.

    Args:
        target: the workload.
        pods: those that exist.
        others: names of pods that belong to other workloads.

    Returns:
        To be anchored, without a backslash, at most ``MAX_LENGTH`` long; None where the names are too many to be
        listed and follow no rule.
    """
    usual = _usual(target)
    rules: dict[_Pattern, list[NamedPod]] = {} if usual is None else {usual: []}
    for pod in pods:
        rules.setdefault(_rule(usual, pod), []).append(pod)
    if not rules:
        return pod_regex(target)
    found = {each for rule, its in rules.items() for each in _narrowed(rule, its, others)}
    text = _text(found)
    if len(text) > MAX_LENGTH:
        text = _text(_shortened(found, others))
    return text if len(text) <= MAX_LENGTH else None


def _usual(target: TargetRef) -> _Pattern | None:
    """Return the pattern by which the target's kind always names its pods, None for a kind that is not known."""
    if target.kind in _WITH_HASH:
        return _Pattern(target.name, _Form.HASH)
    if target.kind in _WITHOUT_HASH:
        return _Pattern(f"{target.name}-", _Form.RANDOM)
    return _Pattern(target.name, _Form.ORDINAL) if target.kind == "StatefulSet" else None


def _rule(usual: _Pattern | None, pod: NamedPod) -> _Pattern:
    """Return the widest pattern that fits a pod's name."""
    if usual is not None and usual.fits(pod.name):
        return usual
    by_owner = _by_owner(pod)
    if by_owner is not None:
        return by_owner
    for form, ends in ((_Form.ORDINAL, _ENDS_ORDINAL), (_Form.RANDOM, _ENDS_RANDOM)):
        base = ends.fullmatch(pod.name)
        if base is not None:
            return _Pattern(base.group(1), form)
    return _Pattern(pod.name, _Form.NAME)


def _by_owner(pod: NamedPod) -> _Pattern | None:
    if not pod.owner:
        return None
    made = _ENDS_HASH.fullmatch(pod.owner) if pod.owner_kind == "ReplicaSet" else None
    rules = [
        *([_Pattern(made.group(1), _Form.HASH)] if made else []),
        _Pattern(f"{pod.owner}-", _Form.RANDOM),
        _Pattern(pod.owner, _Form.ORDINAL),
    ]
    return next((rule for rule in rules if rule.fits(pod.name)), None)


def _narrowed(rule: _Pattern, pods: Iterable[NamedPod], others: Others) -> Iterable[_Pattern]:
    """Yield the pattern where it fits no pod of another workload, else narrower ones for its pods."""
    if rule.form is _Form.NAME or rule.free(others):
        yield rule
        return
    free = cache(lambda owner: _Pattern(f"{owner}-", _Form.RANDOM).free(others))
    for pod in pods:
        by_owner = _Pattern(f"{pod.owner}-", _Form.RANDOM)
        exact = rule.form is _Form.HASH and pod.owner and by_owner.fits(pod.name) and free(pod.owner)
        yield by_owner if exact else _Pattern(pod.name, _Form.NAME)


def _shortened(found: Iterable[_Pattern], others: Others) -> Iterable[_Pattern]:
    """Replace names with a common prefix by the prefix, where no pod of another workload has it."""
    kept = {rule for rule in found if rule.form is not _Form.NAME}
    by_base: dict[str, list[str]] = {}
    for name in sorted(rule.base for rule in found if rule.form is _Form.NAME):
        by_base.setdefault(name.rpartition("-")[0], []).append(name)
    for base, mine in by_base.items():
        strange = set(others(f"{base}-")) - set(mine)
        shared = len(mine) > 1 and base and not strange
        kept |= {_Prefix(f"{base}-", _Form.NAME)} if shared else {_Pattern(name, _Form.NAME) for name in mine}
    return kept


@dataclass(frozen=True, slots=True, order=True)
class _Prefix(_Pattern):
    """Names with a common prefix."""

    @property
    def regex(self) -> str:
        return f"{_literal(self.base)}[a-z0-9.-]+"


def _text(rules: Iterable[_Pattern]) -> str:
    texts = sorted({rule.regex for rule in rules})
    if not texts:
        return NO_POD
    return texts[0] if len(texts) == 1 else f"({'|'.join(texts)})"


def _is_cut(name: str) -> bool:
    """Tell whether hashes may be cut that follow this name."""
    return len(name) + len("-") + _MAX_HASH + len("-") > _MAX_BASE


def _with_hash(name: str) -> str:
    if not _is_cut(name):
        return f"{_literal(name)}-{_HASH_LETTER}{{1,{_MAX_HASH}}}-{_RANDOM}"
    if len(name) >= _MAX_BASE:
        return _literal(name[:_MAX_BASE]) + _RANDOM
    # Shorter hashes fit, with the dash that follows; longer ones are cut, together with that dash.
    room = _MAX_BASE - len(name) - len("-")
    cut = f"{_HASH_LETTER}{{{room}}}"
    whole = f"{_HASH_LETTER}{{1,{room - 1}}}-|" if room > 1 else ""
    return f"{_literal(name)}-({whole}{cut}){_RANDOM}"


def _generated(base: str) -> str:
    return _literal(base[:_MAX_BASE]) + _RANDOM


def _literal(name: str) -> str:
    """Quote a name with character classes instead of backslashes."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"[{found.group()}]", name)
