"""Who depends on what, and who corrects what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.correcting import HPA, original
from twinops.api.references import ObjectRef
from twinops.controllers.shared.links import SOURCE_KIND, ObjectKey
from twinops.controllers.shared.store import TwinStore
from twinops.ports.kubernetes import TwinRef

CHECKOUT = ObjectKey("Deployment", "shop", "checkout", "apps")


def twin(
    name: str,
    *,
    created: str = "2026-01-01T00:00:00Z",
    version: str = "1",
    target: str = "checkout",
    namespace: str = "shop",
    deleting: bool = False,
    holds: str = "",
    **spec: Any,
) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "uid": f"uid-{namespace}-{name}",
        "resourceVersion": version,
        "creationTimestamp": created,
    }
    if deleting:
        meta["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    body = {"metadata": meta, "spec": {"source": {"systemType": "WebService", "targetRef": {"name": target}}, **spec}}
    return body | ({"status": {"originals": [original(2, object=hpa(holds)).to_wire()]}} if holds else {})


def put(store: TwinStore, body: dict[str, Any]) -> TwinRef:
    return store.put(body).ref


def hpa(name: str) -> ObjectRef:
    return HPA.model_copy(update={"name": name})


def test_an_older_body_never_replaces_a_newer_one() -> None:
    store = TwinStore()
    store.put(twin("a", version="10"))
    store.put(twin("a", version="9", target="old"))
    assert store.dependents(CHECKOUT)[0].name == "a"


def test_kinds_are_depended_on_while_a_twin_names_or_holds_an_object_of_them() -> None:
    store = TwinStore()
    assert not store.depends_on_kind("apps", "Deployment")
    store.put(twin("a"))
    store.put(twin("b"))
    assert store.depends_on_kind("apps", "Deployment")
    assert not store.depends_on_kind("apps", "StatefulSet")
    assert not store.depends_on_kind("", "Deployment")
    store.drop("uid-shop-a")
    assert store.depends_on_kind("apps", "Deployment")
    store.drop("uid-shop-b")
    assert not store.depends_on_kind("apps", "Deployment")


def test_a_new_body_moves_the_links() -> None:
    store = TwinStore()
    store.put(twin("a", version="1", target="old"))
    store.put(twin("a", version="2"))
    assert [ref.name for ref in store.dependents(CHECKOUT)] == ["a"]
    assert store.dependents(ObjectKey("Deployment", "shop", "old", "apps")) == ()


def test_every_twin_depends_on_its_source() -> None:
    store = TwinStore()
    store.put(twin("a"))
    store.put(twin("b", source={"systemType": "Custom", "metricsSourceRef": {"name": "thanos"}}))
    assert [ref.name for ref in store.dependents(ObjectKey(SOURCE_KIND, "", "default"))] == ["a"]
    assert [ref.name for ref in store.dependents(ObjectKey(SOURCE_KIND, "", "thanos"))] == ["b"]


def test_a_dropped_twin_leaves_nothing_behind() -> None:
    store = TwinStore()
    ref = put(store, twin("a"))
    store.drop(ref.uid)
    assert len(store) == 0
    assert store.dependents(CHECKOUT) == ()
    assert store.get(ref.uid) is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(twin("old", created="2025-01-01T00:00:00Z"), "old", id="an older twin on the same target"),
        pytest.param(twin("young", created="2026-06-01T00:00:00Z"), "", id="a younger one"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", suspend=True), "", id="older, suspended"),
        pytest.param(
            twin("old", created="2025-01-01T00:00:00Z", autoCorrection={"mode": "Preview"}), "", id="older, previews"
        ),
        pytest.param(
            twin("old", created="2025-01-01T00:00:00Z", autoCorrection={"enabled": False}), "", id="older, off"
        ),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", deleting=True), "", id="older, being deleted"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", target="other"), "", id="older, another target"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", namespace="b"), "", id="older, another namespace"),
        pytest.param(
            twin(
                "old",
                created="2025-01-01T00:00:00Z",
                target="other",
                autoCorrection={"horizontalPodAutoscalerRef": {"name": "hpa"}},
            ),
            "old",
            id="older, another target but the same HPA",
        ),
    ],
)
def test_the_oldest_correcting_twin_of_a_target_corrects(other: dict[str, Any], expected: str) -> None:
    store = TwinStore()
    mine = put(store, twin("mine", autoCorrection={"horizontalPodAutoscalerRef": {"name": "hpa"}}))
    store.put(other)
    assert store.rival(mine.uid) == expected


def test_twins_of_the_same_second_are_told_apart_by_uid() -> None:
    store = TwinStore()
    a, b = put(store, twin("a")), put(store, twin("b"))
    assert [store.rival(a.uid), store.rival(b.uid)] == ["", "a"]


PREVIEW: dict[str, Any] = {"autoCorrection": {"mode": "Preview"}}
OFF: dict[str, Any] = {"autoCorrection": {"enabled": False}}


@pytest.mark.parametrize(
    ("other", "lever", "expected"),
    [
        pytest.param(twin("young", created="2026-06-01T00:00:00Z", holds="a"), "a", "young", id="a younger twin holds"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", holds="a", suspend=True), "a", "old", id="suspended"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", holds="a", **PREVIEW), "a", "old", id="previews now"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", holds="a", **OFF), "a", "old", id="switched off"),
        pytest.param(twin("old", created="2025-01-01T00:00:00Z", holds="a", deleting=True), "a", "old", id="deleted"),
        pytest.param(twin("other", holds="a", target="elsewhere"), "a", "other", id="holds what was found by itself"),
        pytest.param(twin("other", holds="a"), None, "other", id="the same target, no lever found"),
        pytest.param(twin("other", holds="a", target="elsewhere"), "b", "", id="holds something else"),
        pytest.param(twin("other", holds="a", target="elsewhere", namespace="b"), "a", "", id="another namespace"),
        pytest.param(twin("other"), "a", "", id="holds nothing"),
        pytest.param(twin("other") | {"status": {}}, "a", "", id="holds nothing any more"),
    ],
)
def test_who_holds_a_value_is_told_whatever_its_spec_says(
    other: dict[str, Any], lever: str | None, expected: str
) -> None:
    store = TwinStore()
    mine = put(store, twin("mine"))
    store.put(other)
    assert store.holder(mine.uid, hpa(lever) if lever else None) == expected


def test_a_twin_that_holds_a_value_itself_is_not_its_own_rival() -> None:
    store = TwinStore()
    mine = put(store, twin("mine", holds="a"))
    assert store.holder(mine.uid, hpa("a")) == ""
    assert store.holder("unknown", hpa("a")) == ""


def test_what_is_held_and_no_longer_named_still_concerns_the_twin() -> None:
    store = TwinStore()
    mine = put(store, twin("mine", holds="a"))
    key = ObjectKey("HorizontalPodAutoscaler", "shop", "a", "autoscaling")
    assert store.dependents(key) == (mine,)
    store.put(twin("mine", version="2"))
    assert store.dependents(key) == ()


class Naive:
    """Who is whose rival and holder, found by looking at all bodies each time."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}

    def rival(self, uid: str) -> str:
        mine = self.bodies[uid]
        older = [
            other
            for other in self.bodies.values()
            if self._corrects(mine) & self._corrects(other) and self._age(other) < self._age(mine)
        ]
        return self._first(older)

    def holder(self, uid: str, lever: str) -> str:
        keys = self._named(self.bodies[uid]) | {("hpa", lever)}
        others = [other for key, other in self.bodies.items() if key != uid]
        return self._first([other for other in others if self._held(other) and keys & self._holds(other)])

    def _first(self, bodies: list[dict[str, Any]]) -> str:
        return min(bodies, key=self._age)["metadata"]["name"] if bodies else ""

    def _age(self, body: dict[str, Any]) -> tuple[str, str]:
        return body["metadata"]["creationTimestamp"], body["metadata"]["uid"]

    def _named(self, body: dict[str, Any]) -> set[tuple[str, str]]:
        named = body["spec"].get("autoCorrection", {}).get("horizontalPodAutoscalerRef")
        return {("target", body["spec"]["source"]["targetRef"]["name"])} | (
            {("hpa", named["name"])} if named else set()
        )

    def _corrects(self, body: dict[str, Any]) -> set[tuple[str, str]]:
        off = body["spec"].get("suspend") or "deletionTimestamp" in body["metadata"]
        return set() if off else self._named(body)

    def _held(self, body: dict[str, Any]) -> set[tuple[str, str]]:
        return {("hpa", one["object"]["name"]) for one in body.get("status", {}).get("originals", ())}

    def _holds(self, body: dict[str, Any]) -> set[tuple[str, str]]:
        return self._held(body) | self._named(body)


NAMES = st.sampled_from(["a", "b", "c", "d"])
THINGS = st.sampled_from(["x", "y"])
PUT = st.tuples(
    NAMES, THINGS, st.none() | THINGS, st.sampled_from(["", "x", "y"]), st.booleans(), st.sampled_from([0, 1, 1, 1])
)


@given(st.lists(PUT | NAMES, max_size=30))
@settings(deadline=None)
def test_rival_and_holder_are_those_of_a_naive_search(steps: list[Any]) -> None:
    store, naive = TwinStore(), Naive()
    lives = dict.fromkeys("abcd", 0)
    for version, step in enumerate(steps, start=1):
        if isinstance(step, str):
            uid = f"uid-shop-{step}-{lives[step]}"
            store.drop(uid)
            naive.bodies.pop(uid, None)
            lives[step] += 1
        else:
            name, target, named, holds, suspend, stays = step
            more: dict[str, Any] = {"autoCorrection": {"horizontalPodAutoscalerRef": {"name": named}}} if named else {}
            created = f"2026-01-0{3 - 'abcd'.index(name) // 2}T00:00:00Z"
            body = twin(
                name,
                created=created,
                version=str(version),
                target=target,
                holds=holds,
                suspend=suspend,
                deleting=not stays,
                **more,
            )
            body["metadata"]["uid"] = f"uid-shop-{name}-{lives[name]}"
            store.put(body)
            naive.bodies[body["metadata"]["uid"]] = body
        assert {record.ref.uid for record in store} == set(naive.bodies)
        for uid in naive.bodies:
            assert store.rival(uid) == naive.rival(uid)
            assert {lever: store.holder(uid, hpa(lever)) for lever in "xy"} == {
                lever: naive.holder(uid, lever) for lever in "xy"
            }
    for uid in list(naive.bodies):
        store.drop(uid)
    assert store._dependents == {}
