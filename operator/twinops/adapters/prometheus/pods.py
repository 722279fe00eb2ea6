"""Which pods belong to a workload, told by their names alone.

Source: Kubernetes ``k8s.io/apiserver/pkg/storage/names`` (generated names: the base is cut to 58
characters, five random ones follow), ``k8s.io/apimachinery/pkg/util/rand`` (the alphabet without
vowels and look-alikes) and ``pkg/controller`` (the pod template hash: a 32-bit number whose decimal
digits are mapped into that alphabet, so that only ten of its letters occur).
"""

from __future__ import annotations

import re

from twinops.api.twin import TargetRef

_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_HASH_LETTER = "[456789bcdf]"
_MAX_HASH = 10
_ORDINAL = "[0-9]+"
_MAX_BASE = 58
_WITH_HASH = frozenset({"Deployment", "Rollout"})
_WITHOUT_HASH = frozenset({"ReplicaSet", "ReplicationController", "DaemonSet"})


def pod_regex(target: TargetRef) -> str:
    """Return a regular expression (RE2, to be anchored) for the names of the target's pods.

    It holds no backslash, so it reads the same in every kind of PromQL string. The pods of a kind that
    is not known may be named in any of the three usual ways: ordinal, random suffix, hash and random
    suffix. Names that Kubernetes had to cut may match the pods of another workload that shares the
    first characters; nothing in the name tells those apart.
    """
    name = target.name
    if target.kind == "StatefulSet":
        return f"{_literal(name)}-{_ORDINAL}"
    if target.kind in _WITH_HASH:
        return _with_hash(name)
    if target.kind in _WITHOUT_HASH:
        return _generated(f"{name}-")
    if target.kind == "Job":
        # An indexed Job puts the completion index in front of the random part.
        # It stands where a long name is cut, so that only names which fit can be told exactly.
        return f"{_literal(name)}-({_ORDINAL}-)?{_RANDOM}" if len(name) < _MAX_BASE else _generated(name)
    return f"({_literal(name)}-{_ORDINAL}|{_generated(f'{name}-')}|{_with_hash(name)})"


def _with_hash(name: str) -> str:
    longest = len(name) + len("-") + _MAX_HASH + len("-")
    if longest <= _MAX_BASE:
        return f"{_literal(name)}-{_HASH_LETTER}{{1,{_MAX_HASH}}}-{_RANDOM}"
    if len(name) >= _MAX_BASE:
        return _literal(name[:_MAX_BASE]) + _RANDOM
    # Shorter hashes still fit, with the dash that follows; longer ones lose their tail and that dash.
    room = _MAX_BASE - len(name) - len("-")
    cut = f"{_HASH_LETTER}{{{room}}}"
    whole = f"{_HASH_LETTER}{{1,{room - 1}}}-|" if room > 1 else ""
    return f"{_literal(name)}-({whole}{cut}){_RANDOM}"


def _generated(base: str) -> str:
    return _literal(base[:_MAX_BASE]) + _RANDOM


def _literal(name: str) -> str:
    """Quote a name with character classes instead of backslashes."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"[{found.group()}]", name)
