"""The kinds of levers: every fact about a field that corrections can change stands in its row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.correcting import HPA, SCALE, hpa, scale
from twinops.api.references import ObjectRef
from twinops.core.lever import HPA_MIN_REPLICAS, KINDS, SCALE_REPLICAS, Lever, LeverKey, LeverKind, kind_of


@given(st.text(min_size=1, max_size=30), st.sampled_from(["v1", "apps/v1", "example.com/v1"]))
def test_all_but_an_hpa_is_scaled_by_way_of_scale(kind: str, version: str) -> None:
    reference = ObjectRef(api_version=version, kind=kind, name="checkout")
    expected = HPA_MIN_REPLICAS if kind == "HorizontalPodAutoscaler" else SCALE_REPLICAS
    assert kind_of(reference) is expected


@pytest.mark.parametrize(
    ("lever", "kind"),
    [
        pytest.param(hpa(), HPA_MIN_REPLICAS, id="minReplicas of an HPA"),
        pytest.param(scale(), SCALE_REPLICAS, id="replicas of a workload"),
    ],
)
def test_a_lever_and_its_key_have_the_kind_of_their_object(lever: Lever, kind: LeverKind) -> None:
    assert lever.kind is lever.key.kind is kind
    assert lever.field == kind.field


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.field)
def test_each_row_is_consistent(kind: LeverKind) -> None:
    assert kind.effective(None) == kind.default
    assert kind.of_target == (kind.object_kind == "")
    assert kind.holds_annotation == (kind.subresource == ""), "a subresource takes no annotations"
    assert kind.has_maximum == (kind.maximum_words != "")


def test_each_object_kind_has_one_row() -> None:
    assert len({kind.object_kind for kind in KINDS}) == len(KINDS)


@given(st.integers(0, 2**31 - 1))
def test_a_value_that_is_set_is_in_effect(value: int) -> None:
    assert all(kind.effective(value) == value for kind in KINDS)
    assert hpa(value).current == value


def test_every_need_exceeds_a_field_that_is_not_set() -> None:
    assert hpa(None).current == 0


def test_a_key_is_found_as_the_pair_that_it_is() -> None:
    assert {LeverKey(HPA, "spec.minReplicas"): 1}[hpa().key] == 1
    assert LeverKey(SCALE, "spec.replicas").words == "spec.replicas of Deployment/checkout"
