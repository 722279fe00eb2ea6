"""What is parsed of a body, how often, and what is dropped with a daemon."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from support.correcting import NOW, original
from twinops.api import ORIGINAL_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from twinops.api.base import utc
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.record import UNREADABLE_INTERVAL, TwinRecord, parse_status
from twinops.controllers.shared.store import TwinStore
from twinops.engine.forecaster_key import ForecasterKey
from twinops.engine.history import HistoryState, TwinHistory
from twinops.errors import SpecError, StatusUnreadable
from twinops.ports.metrics import SourceAccess

HELD: dict[str, Any] = {"healthScore": 90, "originals": [original(2).to_wire()]}


def body(*, version: str = "1", status: Any = None, spec: Any = None, **meta: Any) -> dict[str, Any]:
    given = {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}} if spec is None else spec
    meta = {"namespace": "shop", "name": "checkout", "uid": "u1", "resourceVersion": version, **meta}
    return {"metadata": meta, "spec": given, "status": status or {}}


def record_of(store: TwinStore) -> TwinRecord:
    record = store.get("u1")
    assert record is not None
    return record


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the resourceVersions whose status was parsed."""
    versions: list[str] = []

    def counted(given: Any) -> Any:
        versions.append(given["metadata"]["resourceVersion"])
        return parse_status(given)

    monkeypatch.setattr("twinops.controllers.shared.store.parse_status", counted)
    return versions


def test_the_same_version_is_parsed_once(parses: list[str]) -> None:
    store = TwinStore()
    first = store.put(body(status=HELD))
    written = record_of(store).written()
    second = store.put(body(status=dict(HELD)))
    assert parses == ["1"]
    assert second.spec is first.spec
    assert record_of(store).written() is written


def test_a_status_that_has_not_changed_is_not_parsed_again(parses: list[str]) -> None:
    store = TwinStore()
    store.put(body(status=HELD))
    store.put(body(version="2", status=dict(HELD), finalizers=["a"]))
    store.put(body(version="3", status={**HELD, "healthScore": 80}))
    assert parses == ["1", "3"]
    assert record_of(store).written().health_score == 80


def test_a_status_that_was_written_is_shared_with_the_one_that_was_computed(parses: list[str]) -> None:
    store = TwinStore()
    store.put(body())
    computed = DigitalTwinStatus(health_score=70, last_sync_time=utc(NOW + 0.5))
    record_of(store).compute(computed)
    store.put(body(version="2", status=computed.to_wire()), status=computed)
    assert parses == ["1"]
    assert record_of(store).written() is computed


def test_what_stands_on_the_api_server_is_not_parsed_again_while_something_newer_waits(parses: list[str]) -> None:
    store = TwinStore()
    store.put(body(status=HELD))
    record = record_of(store)
    for score in range(3):
        record.compute(DigitalTwinStatus(health_score=score))
        assert record.written().health_score == 90
    assert parses == ["1"]


def test_our_own_annotations_and_what_a_write_needs() -> None:
    annotations = {SYNC_REQUESTED_ANNOTATION: "now", ORIGINAL_ANNOTATION: '{"value": 2}', "other.io/note": "x"}
    seen = TwinStore().put(body(annotations=annotations, generation=3, finalizers=["a"], deletionTimestamp="2026"))
    assert (seen.request, seen.original, seen.deleting, seen.finalizers) == ("now", '{"value": 2}', True, ("a",))
    assert (seen.read.resource_version, seen.read.generation, seen.read.last_write) == ("1", 3, "")


def test_a_spec_that_cannot_be_read_is_a_value_that_says_what_to_mend() -> None:
    seen = TwinStore().put(body(spec={"source": {"systemType": "Car"}}))
    assert isinstance(seen.spec, SpecError)
    assert (seen.spec.reason, seen.interval, seen.source) == ("InvalidSpec", UNREADABLE_INTERVAL, "")
    assert str(seen.spec).startswith("spec.source.systemType: ")
    assert str(seen.spec).endswith("; correct it and apply again")
    assert (seen.spec.__traceback__, seen.spec.__context__) == (None, None), "no frames are kept alive"


def test_a_status_that_cannot_be_read_in_part_keeps_the_rest() -> None:
    store = TwinStore()
    with capture_logs() as logs:
        store.put(body(status={**HELD, "conditions": 3}))
    assert [log["event"] for log in logs] == ["status unreadable in part"]
    assert record_of(store).written().health_score == 90


def test_saved_values_that_cannot_be_read_are_told_whenever_they_are_needed() -> None:
    store = TwinStore()
    store.put(body(status={"originals": [{"what": "is this"}]}))
    for _ in range(2):
        with pytest.raises(StatusUnreadable, match="originals cannot be read") as told:
            record_of(store).written()
        assert told.value.__context__ is None


def test_failures_are_counted_by_kind_and_go_with_the_daemon() -> None:
    store = TwinStore()
    store.put(body())
    record = record_of(store)
    first = {what: record.failed(what) for what in Failure}
    assert all(record.failed(what) == pytest.approx(2 * first[what]) for what in Failure)
    record.succeeded(Failure.TARGET, Failure.CRASH)
    assert record.failed(Failure.TARGET) == first[Failure.TARGET]
    assert record.failed(Failure.SYNC) == pytest.approx(4 * first[Failure.SYNC])
    assert record.failed(Failure.SYNC, at_least=1e6) == 1e6
    store.forget(record)
    assert all(record.failed(what) == first[what] for what in Failure)


def test_the_history_is_closed_when_the_twin_is_forgotten() -> None:
    store = TwinStore()
    store.put(body())
    record = record_of(store)
    spec = DigitalTwinSpec.from_wire(body()["spec"])
    source = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))
    history = record.history = TwinHistory("u1", ForecasterKey.of("u1", source, spec))
    store.drop("u1")
    found: tuple[object, HistoryState] = (record.history, history.state)
    assert found == (None, HistoryState.CLOSED)
