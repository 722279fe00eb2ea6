"""Settings of the operator: environment variables ``TWINOPS_…``, overridden by flags.

Read once, by ``main`` and by ``twinops uninstall``, and passed on; no other code reads these variables.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from twinops.errors import SettingsError

PREFIX = "TWINOPS_"


def _split(value: Any) -> Any:
    if isinstance(value, str):
        # Only a missing value means all namespaces; "," becomes an invalid name, so that a typo does not select all.
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip())) or ("",)
    return value


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
ManagerPattern = Annotated[str, Field(max_length=128, pattern=r"^[ -~]*[A-Za-z0-9][ -~]*$")]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class Settings(BaseModel):
    """Frozen settings. Each field is read from ``TWINOPS_`` plus its name in capitals.

    A field's description says what is allowed; it is part of the error that a bad value gives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: Annotated[NamespaceName, Field(description="the operator's own namespace")] = "twinops-system"
    watch_namespaces: Annotated[
        tuple[NamespaceName, ...],
        BeforeValidator(_split),
        Field(description="namespaces to watch, separated by commas; empty means all"),
    ] = ()

    lease_name: Annotated[Name, Field(description="name of the Lease that elects the leader")] = "twinops"
    identity: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[!-~]+$",
            description="printable, without spaces: who holds the Lease; must differ for every process",
        ),
    ] = Field(default_factory=lambda: f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}")
    lease_duration_seconds: Annotated[
        int, Field(ge=1, le=300, description="1 to 300: standbys wait this long after the last renewal they saw")
    ] = 15
    renew_deadline_seconds: Annotated[
        float, Field(gt=0, le=300, description="above 0, below 300: a leader that cannot renew for so long stops")
    ] = 10
    retry_period_seconds: Annotated[
        float, Field(ge=0.1, le=60, description="0.1 to 60: wait between two attempts to acquire or renew")
    ] = 2
    lease_request_timeout_seconds: Annotated[
        float, Field(gt=0, le=3, description="above 0, to 3: time-out of one request about the Lease")
    ] = 3
    request_timeout_seconds: Annotated[
        float, Field(ge=0.5, le=60, description="0.5 to 60: time-out of any other request to the API server")
    ] = 10

    # Not WEB_PORT or METRICS_PORT: the kubelet sets TWINOPS_WEB_PORT for a Service named twinops-web.
    listen_host: Annotated[str, Field(min_length=1, description="address for /metrics, /healthz and /readyz")] = (
        "0.0.0.0"  # noqa: S104 - probes and Prometheus come from outside the pod
    )
    listen_port: Annotated[int, Field(ge=0, le=65_535, description="0 to 65535; 0 picks a free port")] = 8080

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v),
        Field(description="debug, info, warning or error"),
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"],
        BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v),
        Field(description="json or console"),
    ] = "json"

    status_writes_per_second: Annotated[
        float, Field(ge=0.1, le=10_000, description="0.1 to 10000: status writes for the whole operator")
    ] = 50
    heartbeat_seconds: Annotated[
        float, Field(ge=5, le=86_400, description="5 to 86400: longest time between two status writes of a twin")
    ] = 300
    grace_seconds: Annotated[
        float,
        Field(ge=1, le=86_400, description="1 to 86400: how long a last verdict stands while nothing new is seen"),
    ] = 120
    sync_concurrency: Annotated[
        int, Field(ge=1, le=10_000, description="1 to 10000: syncs that may run at the same time")
    ] = 64
    sync_spacing_seconds: Annotated[
        float, Field(ge=0, le=60, description="0 to 60: a twin is synced on request this long after its last sync")
    ] = 5
    metrics_threads: Annotated[int, Field(ge=1, le=256, description="1 to 256: threads that ask Prometheus")] = 8

    one_shot_managers: Annotated[
        tuple[ManagerPattern, ...],
        BeforeValidator(_split),
        Field(
            max_length=64,
            description="up to 64 names of field managers that write only when somebody starts them, separated by "
            "commas, * and ? as in file names, each with a letter or digit: * would take fields from controllers",
        ),
    ] = ()

    @model_validator(mode="after")
    def _lease_times_fit(self) -> Self:
        # As client-go requires; and a write that began under the lease must end before another process can acquire it.
        if self.renew_deadline_seconds + self.lease_request_timeout_seconds > self.lease_duration_seconds:
            raise ValueError(
                f"{PREFIX}RENEW_DEADLINE_SECONDS={self.renew_deadline_seconds:g} plus "
                f"{PREFIX}LEASE_REQUEST_TIMEOUT_SECONDS={self.lease_request_timeout_seconds:g} must not exceed "
                f"{PREFIX}LEASE_DURATION_SECONDS={self.lease_duration_seconds}"
            )
        if self.retry_period_seconds * 1.2 >= self.renew_deadline_seconds:
            raise ValueError(
                f"{PREFIX}RETRY_PERIOD_SECONDS={self.retry_period_seconds:g} must be below "
                f"{PREFIX}RENEW_DEADLINE_SECONDS={self.renew_deadline_seconds:g} divided by 1.2"
            )
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Self:
        """Read the settings.

        Args:
            environ: the environment. Empty values count as not set; ``POD_NAMESPACE`` stands in for
                ``TWINOPS_NAMESPACE``.
            overrides: by field name, for example from flags; None values count as not given.

        Raises:
            SettingsError: names every bad variable, its value and what is allowed.
        """
        values: dict[str, Any] = {
            name: value for name in cls.model_fields if (value := environ.get(PREFIX + name.upper(), "").strip())
        }
        if "namespace" not in values and (own := environ.get("POD_NAMESPACE", "").strip()):
            values["namespace"] = own
        values |= {name: value for name, value in (overrides or {}).items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [cls._explain(detail) for detail in error.errors()]
            raise SettingsError("; ".join(lines)) from error

    @classmethod
    def _explain(cls, detail: ErrorDetails) -> str:
        if not detail["loc"]:
            return str(detail["msg"]).removeprefix("Value error, ")
        field = str(detail["loc"][0])
        known = cls.model_fields.get(field)
        if known is None:
            return f"{field} is not a setting"
        return f"{PREFIX}{field.upper()}={detail['input']!r} cannot be used, allowed is: {known.description}"
