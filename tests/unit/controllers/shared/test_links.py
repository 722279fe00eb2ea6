"""Links of a twin, from its parsed spec and status."""

from __future__ import annotations

from typing import Any

import pytest

from support.correcting import HPA
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.shared.links import HPA_KIND, SOURCE_KIND, Links, ObjectKey, links_of
from twinops.errors import SpecError

TARGET = ObjectKey("Deployment", "shop", "checkout", "apps")
NAMED_HPA = ObjectKey(HPA_KIND, "shop", "named", "autoscaling")
HELD_HPA = ObjectKey(HPA_KIND, "shop", HPA.name, "autoscaling")
SOURCE = ObjectKey(SOURCE_KIND, "", "default")
UNREADABLE = SpecError("spec.source: no")
NONE = frozenset[ObjectKey]()


def spec(**more: Any) -> DigitalTwinSpec:
    return DigitalTwinSpec.from_wire(
        {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}, **more}
    )


def both(*keys: ObjectKey) -> frozenset[ObjectKey]:
    return frozenset(keys)


@pytest.mark.parametrize(
    ("given", "held", "deleting", "expected"),
    [
        pytest.param(
            spec(),
            [],
            False,
            Links(both(TARGET), both(TARGET), NONE, both(TARGET, SOURCE)),
            id="it corrects its target",
        ),
        pytest.param(
            spec(autoCorrection={"horizontalPodAutoscalerRef": {"name": "named"}}),
            [],
            False,
            Links(both(TARGET, NAMED_HPA), both(TARGET, NAMED_HPA), NONE, both(TARGET, NAMED_HPA, SOURCE)),
            id="and an HPA",
        ),
        pytest.param(spec(suspend=True), [], False, Links(both(TARGET), NONE, NONE, both(TARGET, SOURCE)), id="paused"),
        pytest.param(spec(), [], True, Links(both(TARGET), NONE, NONE, both(TARGET, SOURCE)), id="being deleted"),
        pytest.param(
            spec(suspend=True),
            [HPA],
            True,
            Links(both(TARGET), NONE, both(TARGET, HELD_HPA), both(TARGET, HELD_HPA, SOURCE)),
            id="holding, whatever its spec says",
        ),
        pytest.param(UNREADABLE, [], False, Links(NONE, NONE, NONE, NONE), id="an unreadable spec"),
        pytest.param(
            UNREADABLE,
            [HPA],
            False,
            Links(NONE, NONE, both(HELD_HPA), both(HELD_HPA)),
            id="an unreadable spec, holding",
        ),
        pytest.param(
            spec(),
            None,
            False,
            Links(both(TARGET), both(TARGET), both(TARGET), both(TARGET, SOURCE)),
            id="unread values",
        ),
    ],
)
def test_links(given: DigitalTwinSpec | SpecError, held: Any, expected: Links, *, deleting: bool) -> None:
    assert links_of("shop", given, held, deleting=deleting) == expected
