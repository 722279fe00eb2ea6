"""Which pods belong to a workload, by their names as Kubernetes makes them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import pytest

from twinops.api.references import TargetRef
from twinops.core.metrics.pod_names import MAX_LENGTH, NamedPod, pod_regex, regex_of

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


def names(target: TargetRef, own: Sequence[NamedPod], others: Sequence[str] = ()) -> str:
    found = regex_of(target, own, lambda prefix: (name for name in others if name.startswith(prefix)))
    assert found is not None
    assert len(found) <= MAX_LENGTH
    assert "\\" not in found
    return found


def pod(name: str, owner: str = "", kind: str = "") -> NamedPod:
    return NamedPod(name, kind, owner)


RS = "ReplicaSet"

EXISTING = [
    pytest.param(
        TargetRef(name="checkout"),
        [pod("checkout-7d9f8c6b5d-x2k9z", "checkout-7d9f8c6b5d", RS)],
        ["checkout-5b6c7d8f9b-bbbbb"],
        ["checkout-worker-7d9f8c6b5d-x2k9z", "checkout-0"],
        id="a Deployment, with those of its other revisions",
    ),
    pytest.param(TargetRef(name="checkout"), [], ["checkout-5b6c7d8f9b-bbbbb"], ["checkout-0"], id="none is there"),
    pytest.param(
        TargetRef(name="checkout"),
        [pod("legacy-x2k9z", "legacy", RS), pod("checkout-7d9f8c6b5d-x2k9z", "checkout-7d9f8c6b5d", RS)],
        ["legacy-bbbbb", "checkout-5b6c7d8f9b-bbbbb"],
        ["legacy-0"],
        id="a Deployment that has adopted a ReplicaSet",
    ),
    pytest.param(
        TargetRef(kind="StatefulSet", name="db"),
        [pod("db-0", "db", "StatefulSet")],
        ["db-11"],
        ["db-x2k9z"],
        id="ordinals",
    ),
    pytest.param(
        TargetRef(api_version="v1", kind="ReplicationController", name="rc"),
        [pod("rc-x2k9z", "rc", "ReplicationController")],
        ["rc-bbbbb"],
        ["rc-7d9f8c6b5d-x2k9z"],
        id="a ReplicationController",
    ),
    pytest.param(
        TargetRef(api_version="apps.kruise.io/v1alpha1", kind="CloneSet", name="shop"),
        [pod("shop-x2k9z", "shop", "CloneSet")],
        ["shop-bbbbb"],
        ["shop-0", "shop-7d9f8c6b5d-x2k9z"],
        id="a kind of its own with random names: nothing else is guessed",
    ),
    pytest.param(
        TargetRef(api_version="apps.kruise.io/v1beta1", kind="StatefulSet", name="shop"),
        [pod("shop-0", "shop", "StatefulSet"), pod("shop-2", "shop", "StatefulSet")],
        ["shop-1"],
        ["shop-x2k9z"],
        id="another StatefulSet",
    ),
    pytest.param(
        TargetRef(api_version="kafka.strimzi.io/v1", kind="KafkaNodePool", name="pool"),
        [pod("main-pool-0", "main-pool", "StrimziPodSet"), pod("main-pool-1", "main-pool", "StrimziPodSet")],
        ["main-pool-2"],
        ["pool-0", "main-pool-x2k9z"],
        id="pods that are called after something else",
    ),
    pytest.param(
        TargetRef(api_version="agones.dev/v1", kind="Fleet", name="game"),
        [pod("game-bcd45-x2k9z", "game-bcd45-x2k9z", "GameServer")],
        ["game-bcd45-bbbbb"],
        ["game-0", "game-x2k9z"],
        id="pods that are called as their owner",
    ),
    pytest.param(
        TargetRef(api_version="odd.dev/v1", kind="Herd", name="herd"),
        [pod("herd-alpha"), pod("the.omega")],
        [],
        ["herd-beta", "theXomega", "herd-0"],
        id="names without a rule are listed",
    ),
    pytest.param(
        TargetRef(api_version="odd.dev/v1", kind="Herd", name="herd"),
        [pod("herd-main-7d9f8c6b5d-x2k9z", "herd-main-7d9f8c6b5d", RS)],
        ["herd-main-5b6c7d8f9b-bbbbb"],
        ["herd-7d9f8c6b5d-x2k9z"],
        id="a kind of its own that makes a Deployment",
    ),
]


@pytest.mark.parametrize(("target", "own", "also", "never"), EXISTING)
def test_pods_that_exist_tell_how_the_others_are_called(
    target: TargetRef, own: list[NamedPod], also: list[str], never: list[str]
) -> None:
    regex = names(target, own)
    for name in [*(one.name for one in own), *also]:
        assert re.fullmatch(regex, name), (regex, name)
    for name in never:
        assert not re.fullmatch(regex, name), (regex, name)


def test_a_rule_that_fits_another_workloads_pod_gives_way_to_the_owners() -> None:
    # A ReplicaSet, CloneSet or StatefulSet may well be called as a hash could end.
    target, mine = TargetRef(name="checkout"), pod("checkout-7d9f8c6b5d-x2k9z", "checkout-7d9f8c6b5d", RS)
    regex = names(target, [mine], ["checkout-bcd45-x2k9z"])
    assert re.fullmatch(regex, mine.name)
    assert re.fullmatch(regex, "checkout-7d9f8c6b5d-bbbbb")
    assert not re.fullmatch(regex, "checkout-bcd45-x2k9z")


def test_a_rule_that_fits_another_workloads_pod_gives_way_to_names() -> None:
    target = TargetRef(api_version="odd.dev/v1", kind="Herd", name="herd")
    regex = names(target, [pod("herd-1"), pod("herd-2")], ["herd-3"])
    assert [name for name in ("herd-1", "herd-2", "herd-3") if re.fullmatch(regex, name)] == ["herd-1", "herd-2"]


def test_without_a_pod_of_its_own_nobody_elses_are_taken() -> None:
    regex = names(TargetRef(kind="StatefulSet", name="db"), [], ["db-0"])
    assert not re.fullmatch(regex, "db-0")


def test_scaling_and_rolling_out_change_nothing_about_the_text() -> None:
    target = TargetRef(name="checkout")
    texts = {
        names(target, [pod(f"checkout-{revision}-x2k9{n}", f"checkout-{revision}", RS) for n in "bcdfghjk"[:count]])
        for revision in ("7d9f8c6b5d", "5b6c7d8f9b")
        for count in (2, 3, 9)
    }
    assert len(texts) == 1


def odd(count: int, beginning: str) -> list[NamedPod]:
    """Return pods whose names follow no rule; vowels are in no random part."""
    letters = "aeiou"
    return [pod(beginning + "".join(letters[n // 5**place % 5] for place in range(6)) + "a" * 20) for n in range(count)]


def test_very_many_names_without_a_rule_are_told_by_what_they_begin_with() -> None:
    own = odd(1000, "herd-")
    regex = names(TargetRef(api_version="odd.dev/v1", kind="Herd", name="herd"), own, ["herds-aeiou", "her"])
    assert all(re.fullmatch(regex, one.name) for one in own)
    assert not re.fullmatch(regex, "herds-aeiou")


def test_very_many_names_that_only_a_list_could_tell_are_not_told() -> None:
    target = TargetRef(api_version="odd.dev/v1", kind="Herd", name="herd")
    stranger = "herd-aeiouz"
    assert (
        regex_of(target, odd(1000, "herd-"), lambda prefix: [stranger] if stranger.startswith(prefix) else []) is None
    )


def test_very_many_pods_cost_little() -> None:
    """It is done on the loop, at every sync; whoever may make pods must not stall it."""
    crowd = 3000
    one_owner = [NamedPod(f"web-6789bcdf-{_random(n)}", "ReplicaSet", "web-6789bcdf") for n in range(crowd)]
    stranger = f"web-77-{_random(0)}"
    known = sorted([stranger, *(pod.name for pod in one_owner)])
    looked_at = 0

    def others(prefix: str) -> Iterator[str]:
        nonlocal looked_at
        for name in known:
            looked_at += 1
            if name == stranger and name.startswith(prefix):
                yield name

    began = time.process_time()
    assert regex_of(TargetRef(name="web"), one_owner, others) == "web-6789bcdf-[bcdfghjklmnpqrstvwxz2456789]{5}"
    assert looked_at <= 2 * len(known)
    own_kind = TargetRef(api_version="example.org/v1", kind="Thing", name="web")
    for crowded in (
        [NamedPod(f"pod{n}x-a.b", "Thing", "web") for n in range(crowd)],
        [NamedPod(f"o{n}x-{_random(n)}", "Thing", f"o{n}x") for n in range(crowd)],
        [NamedPod(f"o{n}x-6789bcdf-{_random(n)}", "ReplicaSet", f"o{n}x-6789bcdf") for n in range(crowd)],
    ):
        assert regex_of(own_kind, crowded, lambda _: ()) is None
    assert time.process_time() - began < 2


def _random(number: int) -> str:
    letters = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(letters[number // len(letters) ** place % len(letters)] for place in range(5))
