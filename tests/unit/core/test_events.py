"""Which object an Event is about."""

from __future__ import annotations

import pytest

from support.correcting import hpa, scale, workload
from twinops.core.events import NORMAL, TWIN, Event, InvolvedObject, about_lever, about_twin, about_workload, of_twin
from twinops.core.lever import Lever
from twinops.core.observation import Workload

CHECKOUT = about_twin("shop", "checkout", "twin-uid", "7")
HPA = InvolvedObject("autoscaling/v2", "HorizontalPodAutoscaler", "checkout", uid="hpa-uid")
DEPLOYMENT = InvolvedObject("apps/v1", "Deployment", "checkout", uid="deployment-uid")


def test_a_twin_is_named_with_its_version() -> None:
    assert InvolvedObject("twinops.dev/v1alpha1", "DigitalTwin", "checkout", "shop", "twin-uid", "7") == CHECKOUT


@pytest.mark.parametrize(("lever", "expected"), [(hpa(), HPA), (scale(), DEPLOYMENT)])
def test_a_lever_is_named_by_its_object(lever: Lever, expected: InvolvedObject) -> None:
    assert about_lever(lever) == expected


@pytest.mark.parametrize(("seen", "expected"), [(workload(), DEPLOYMENT), (None, None)])
def test_a_workload_is_named_where_there_is_one(seen: Workload | None, expected: InvolvedObject | None) -> None:
    assert about_workload(seen) == expected


def test_the_twin_and_its_namespace_are_put_in() -> None:
    event = Event(TWIN, NORMAL, "Healthy", "it is well")
    assert of_twin(event, CHECKOUT) == Event(CHECKOUT, NORMAL, "Healthy", "it is well")
    placed = of_twin(Event(HPA, NORMAL, "Healthy", "it is well"), CHECKOUT).about
    assert (placed.kind, placed.namespace, placed.name, placed.uid) == (HPA.kind, "shop", "checkout", "hpa-uid")
    assert of_twin(of_twin(event, CHECKOUT), CHECKOUT) == of_twin(event, CHECKOUT)
