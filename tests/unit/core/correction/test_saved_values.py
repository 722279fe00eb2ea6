"""The saved values of a twin, by the field that each of them is of."""

from __future__ import annotations

import pytest

from support.correcting import HPA, SCALE, hpa, original, scale
from twinops.core.correction.saved_values import find, key_of, value_to_restore, with_saved, without_saved

OF_HPA = original(2)
OF_SCALE = original(3, object=SCALE, field="spec.replicas")


@pytest.mark.parametrize(("value", "restored"), [(None, 1), (0, 0), (4, 4)])
def test_what_was_not_set_is_restored_to_its_default(value: int | None, restored: int) -> None:
    assert value_to_restore(original(value)) == restored


def test_each_field_has_one_saved_value() -> None:
    both = (OF_HPA, OF_SCALE)
    assert find(both, hpa().key) is OF_HPA
    assert find(both, scale().key) is OF_SCALE
    assert find((OF_SCALE,), hpa().key) is None
    newer = original(5)
    assert with_saved(both, newer) == (OF_SCALE, newer)
    assert without_saved(both, newer) == (OF_SCALE,)


def test_a_saved_value_is_of_its_object_and_field() -> None:
    assert key_of(OF_HPA) == (HPA, "spec.minReplicas")
