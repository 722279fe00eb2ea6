"""The list of decisions in status."""

from __future__ import annotations

from twinops.api.base import utc
from twinops.api.status import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin import CorrectionMode
from twinops.core.correction.records import MAX_RECORDS, add, resolve

from support.correcting import HPA, NOW


def record(name: str = "20231114T221320Z-Raise-2-3", outcome: Outcome = Outcome.APPLIED) -> CorrectionRecord:
    return CorrectionRecord(
        id=name,
        time=utc(NOW),
        action=CorrectionAction.RAISE,
        mode=CorrectionMode.APPLY,
        object=HPA,
        field="spec.minReplicas",
        trigger="Drift/cpuUsage",
        why="",
        outcome=outcome,
    )


def test_the_same_decision_twice_within_a_second_has_two_names_and_two_outcomes() -> None:
    records = add(add(add([], record()), record()), record())
    assert [each.id.removeprefix(record().id) for each in records] == ["", "-2", "-3"]
    outcomes = [each.outcome for each in resolve(records, records[1].id, Outcome.REVERTED, now=NOW)]
    assert outcomes == [Outcome.APPLIED, Outcome.REVERTED, Outcome.APPLIED]


def test_of_too_many_the_oldest_that_changed_nothing_goes_first() -> None:
    records: list[CorrectionRecord] = []
    for number in range(MAX_RECORDS + 1):
        records = add(records, record(str(number), Outcome.BLOCKED if number == 3 else Outcome.APPLIED))
    assert [each.id for each in records] == ["0", "1", "2", "4", "5", "6", "7", "8", "9", "10"]
