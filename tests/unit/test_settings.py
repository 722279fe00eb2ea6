"""Settings come from the environment and flags; a bad one is named with its value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twinops.errors import SettingsError
from twinops.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})
    assert settings.namespace == "twinops-system"
    assert settings.watch_namespaces == ()
    assert (settings.lease_duration_seconds, settings.renew_deadline_seconds, settings.retry_period_seconds) == (
        15,
        10,
        2,
    )
    assert settings.lease_request_timeout_seconds <= 3
    assert settings.status_writes_per_second == 50
    assert settings.heartbeat_seconds == 300


def test_every_process_has_an_identity_of_its_own() -> None:
    assert Settings.from_env({}).identity != Settings.from_env({}).identity


@pytest.mark.parametrize(
    ("environ", "overrides", "field", "value"),
    [
        pytest.param({"TWINOPS_LISTEN_PORT": "9090"}, {}, "listen_port", 9090, id="a number"),
        pytest.param({"TWINOPS_LISTEN_PORT": " 9090 "}, {}, "listen_port", 9090, id="blanks around"),
        pytest.param({"TWINOPS_LISTEN_PORT": ""}, {}, "listen_port", 8080, id="empty counts as not set"),
        pytest.param({"TWINOPS_WATCH_NAMESPACES": "a, b,,"}, {}, "watch_namespaces", ("a", "b"), id="a list"),
        pytest.param({"TWINOPS_WATCH_NAMESPACES": " "}, {}, "watch_namespaces", (), id="an empty list"),
        pytest.param(
            {"TWINOPS_ONE_SHOT_MANAGERS": "ci-*, Deploy Bot"},
            {},
            "one_shot_managers",
            ("ci-*", "Deploy Bot"),
            id="patterns",
        ),
        pytest.param({"TWINOPS_LOG_LEVEL": "DEBUG"}, {}, "log_level", "debug", id="capitals"),
        pytest.param({"POD_NAMESPACE": "ops"}, {}, "namespace", "ops", id="the pod's namespace"),
        pytest.param(
            {"POD_NAMESPACE": "ops", "TWINOPS_NAMESPACE": "mine"}, {}, "namespace", "mine", id="ours comes first"
        ),
        pytest.param(
            {"TWINOPS_LOG_FORMAT": "json"}, {"log_format": "console"}, "log_format", "console", id="a flag wins"
        ),
        pytest.param(
            {"TWINOPS_LOG_FORMAT": "console"}, {"log_format": None}, "log_format", "console", id="no flag given"
        ),
        pytest.param({"TWINOPS_SERVICE_HOST": "10.0.0.7"}, {}, "listen_port", 8080, id="a Service named twinops"),
    ],
)
def test_values_are_read(environ: dict[str, str], overrides: dict[str, Any], field: str, value: object) -> None:
    assert getattr(Settings.from_env(environ, overrides), field) == value


@pytest.mark.parametrize(
    ("environ", "overrides", "words"),
    [
        pytest.param(
            {"TWINOPS_LISTEN_PORT": "http"}, {}, ["TWINOPS_LISTEN_PORT", "'http'", "0 to 65535"], id="no number"
        ),
        pytest.param({"TWINOPS_LISTEN_PORT": "70000"}, {}, ["TWINOPS_LISTEN_PORT", "'70000'", "65535"], id="too large"),
        pytest.param({"TWINOPS_LISTEN_PORT": "80.5"}, {}, ["TWINOPS_LISTEN_PORT", "'80.5'"], id="no whole number"),
        pytest.param(
            {"TWINOPS_STATUS_WRITES_PER_SECOND": "0"},
            {},
            ["STATUS_WRITES_PER_SECOND", "'0'", "0.1 to"],
            id="no writes",
        ),
        pytest.param(
            {"TWINOPS_WATCH_NAMESPACES": ","},
            {},
            ["WATCH_NAMESPACES", "separated by commas"],
            id="a comma is not all namespaces",
        ),
        pytest.param(
            {"TWINOPS_ONE_SHOT_MANAGERS": "ci-*,*"},
            {},
            ["ONE_SHOT_MANAGERS", "take fields from controllers"],
            id="everybody",
        ),
        pytest.param(
            {"TWINOPS_STATUS_WRITES_PER_SECOND": "nan"}, {}, ["STATUS_WRITES_PER_SECOND", "'nan'"], id="not a number"
        ),
        pytest.param({"TWINOPS_HEARTBEAT_SECONDS": "inf"}, {}, ["HEARTBEAT_SECONDS", "'inf'", "86400"], id="for ever"),
        pytest.param({"TWINOPS_LOG_LEVEL": "loud"}, {}, ["TWINOPS_LOG_LEVEL", "'loud'", "warning"], id="no such level"),
        pytest.param(
            {"TWINOPS_LOG_FORMAT": "xml"}, {}, ["TWINOPS_LOG_FORMAT", "'xml'", "console"], id="no such format"
        ),
        pytest.param({"TWINOPS_NAMESPACE": "My_Ns"}, {}, ["TWINOPS_NAMESPACE", "'My_Ns'"], id="no namespace's name"),
        pytest.param(
            {"TWINOPS_WATCH_NAMESPACES": "a,B"}, {}, ["TWINOPS_WATCH_NAMESPACES", "'B'"], id="one bad in a list"
        ),
        pytest.param(
            {"TWINOPS_LEASE_REQUEST_TIMEOUT_SECONDS": "5"},
            {},
            ["TWINOPS_LEASE_REQUEST_TIMEOUT_SECONDS", "'5'", "to 3"],
            id="lease requests may not hang",
        ),
        pytest.param(
            {"TWINOPS_RENEW_DEADLINE_SECONDS": "15"},
            {},
            ["TWINOPS_RENEW_DEADLINE_SECONDS=15", "TWINOPS_LEASE_DURATION_SECONDS=15"],
            id="the leader must stop before others start",
        ),
        pytest.param(
            {"TWINOPS_RETRY_PERIOD_SECONDS": "9"},
            {},
            ["TWINOPS_RETRY_PERIOD_SECONDS=9", "TWINOPS_RENEW_DEADLINE_SECONDS=10"],
            id="no time for a second try",
        ),
        pytest.param({}, {"listen_prot": 1}, ["listen_prot", "not a setting"], id="a flag that is none"),
        pytest.param(
            {"TWINOPS_LISTEN_PORT": "x", "TWINOPS_LOG_LEVEL": "y"},
            {},
            ["TWINOPS_LISTEN_PORT", "TWINOPS_LOG_LEVEL"],
            id="both of two are named",
        ),
    ],
)
def test_bad_values_are_explained(environ: dict[str, str], overrides: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ, overrides)
    for word in words:
        assert word in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = Settings.from_env({})
    with pytest.raises(ValidationError):
        settings.listen_port = 1  # type: ignore[misc]  # that is what is tested
