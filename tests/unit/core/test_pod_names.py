"""Which pods belong to a workload, by their names as Kubernetes makes them."""

from __future__ import annotations

import re

import pytest

from twinops.api.twin import TargetRef
from twinops.core.pod_names import pod_regex

# Kubernetes cuts the base of a generated name to 58 characters and adds five.
LONG_46, LONG_47, LONG_50, LONG_57, LONG_58, LONG_70 = ("a" * n for n in (46, 47, 50, 57, 58, 70))
HASH = "7d9f8c6b5d"


def generated(base: str) -> str:
    return base[:58] + "x2k9z"


MINE = [
    pytest.param("Deployment", "checkout", "checkout-7d9f8c6b5d-x2k9z", id="deployment"),
    pytest.param("Deployment", "checkout", "checkout-b-x2k9z", id="shortest hash"),
    pytest.param("Deployment", "checkout.v2", "checkout.v2-7d9f8c6b5d-x2k9z", id="dots"),
    pytest.param("Rollout", "checkout", "checkout-7d9f8c6b5d-x2k9z", id="Argo rollout"),
    *(
        pytest.param(
            "Deployment", name, generated(f"{name}-{hashed}-"), id=f"{len(name)} letters, hash of {len(hashed)}"
        )
        for name in (LONG_46, LONG_47, LONG_50, LONG_57, LONG_58, LONG_70)
        for hashed in (HASH, HASH[:6], HASH[:1])
    ),
    pytest.param("StatefulSet", "db", "db-0", id="stateful set"),
    pytest.param("StatefulSet", "db", "db-1234", id="stateful set, many"),
    pytest.param("DaemonSet", "agent", "agent-x2k9z", id="daemon set"),
    pytest.param("DaemonSet", LONG_70, generated(f"{LONG_70}-"), id="daemon set, long"),
    pytest.param("ReplicaSet", "checkout", "checkout-x2k9z", id="replica set"),
    pytest.param("Job", "import", "import-x2k9z", id="job"),
    pytest.param("Job", "import", "import-12-x2k9z", id="indexed job"),
    pytest.param("Job", LONG_70, generated(f"{LONG_70}-"), id="job, long"),
    pytest.param("Fleet", "game", "game-x2k9z", id="unknown kind, random"),
    pytest.param("Fleet", "game", "game-3", id="unknown kind, ordinal"),
    pytest.param("Fleet", "game", "game-7d9f8c6b5d-x2k9z", id="unknown kind, hash"),
]

OTHERS = [
    pytest.param("Deployment", "checkout", "checkout-worker-7d9f8c6b5d-x2k9z", id="longer name"),
    pytest.param("Deployment", "checkout", "checkout-v2-7d9f8c6b5d-x2k9z", id="longer name that could be a hash"),
    pytest.param("Deployment", "checkout", "checkout-worker-x2k9z", id="daemon set of a longer name"),
    pytest.param("Deployment", "checkout", "my-checkout-7d9f8c6b5d-x2k9z", id="ends alike"),
    pytest.param("Deployment", "checkout", "checkout-7d9f8c6b5d-x2k9", id="suffix too short"),
    pytest.param("Deployment", "checkout", "checkout-7d9f8c6b5d-x2k9a", id="vowel in the suffix"),
    pytest.param("Deployment", "checkout", "checkout-7d9f8c6b5dd-x2k9z", id="hash too long"),
    pytest.param("Deployment", "checkout", "checkout-0", id="ordinal"),
    pytest.param("Deployment", "checkout.v2", "checkout-v2-7d9f8c6b5d-x2k9z", id="a dot is a dot"),
    pytest.param("StatefulSet", "db", "db-replica-0", id="stateful set of a longer name"),
    pytest.param("StatefulSet", "db", "db-x2k9z", id="no ordinal"),
    pytest.param("StatefulSet", "db", "db-", id="ordinal missing"),
    pytest.param("DaemonSet", "agent", "agent-7d9f8c6b5d-x2k9z", id="deployment of the same name"),
    pytest.param("Fleet", "game", "game-db-0", id="unknown kind, longer name"),
    pytest.param("Fleet", "game", "game-worker-7d9f8c6b5d-x2k9z", id="unknown kind, longer name with hash"),
]


def matches(kind: str, name: str, pod: str) -> bool:
    return re.fullmatch(pod_regex(TargetRef(kind=kind, name=name)), pod) is not None


@pytest.mark.parametrize(("kind", "name", "pod"), MINE)
def test_own_pods_are_matched(kind: str, name: str, pod: str) -> None:
    assert matches(kind, name, pod)


@pytest.mark.parametrize(("kind", "name", "pod"), OTHERS)
def test_pods_of_others_are_not(kind: str, name: str, pod: str) -> None:
    assert not matches(kind, name, pod)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "Fleet"])
def test_no_backslash_so_that_it_reads_alike_in_all_quotes(kind: str) -> None:
    assert "\\" not in pod_regex(TargetRef(kind=kind, name="a.b.c"))
