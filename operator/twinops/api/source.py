"""``MetricsSource``: a Prometheus-compatible endpoint that an administrator allows (cluster-scoped)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from twinops.api.base import ApiModel, DnsName
from twinops.api.conditions import Condition

HeaderValue = Annotated[str, Field(max_length=1024)]


class SecretKeyRef(ApiModel):
    """One key of a Secret in the operator's own namespace."""

    name: Annotated[DnsName, Field(description="Name of the Secret, in the operator's namespace.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key within the Secret's data.")]


class SecretRef(ApiModel):
    """A Secret in the operator's own namespace."""

    name: Annotated[DnsName, Field(description="Name of the Secret, in the operator's namespace.")]


class SourceAuth(ApiModel):
    """How the operator proves itself to the endpoint. At most one of the two."""

    bearer_token_secret_ref: Annotated[SecretKeyRef | None, Field(description="Key that holds a bearer token.")] = None
    basic_auth_secret_ref: Annotated[
        SecretRef | None, Field(description="Secret of type kubernetes.io/basic-auth (username, password).")
    ] = None


class SourceTls(ApiModel):
    """How the endpoint proves itself to the operator."""

    ca_secret_ref: Annotated[SecretKeyRef | None, Field(description="Key that holds a PEM bundle to trust.")] = None
    insecure_skip_verify: Annotated[bool, Field(description="Accept any certificate. For tests only.")] = False


class MetricsSourceSpec(ApiModel):
    """What an administrator allows twins to ask."""

    url: Annotated[
        str,
        Field(
            max_length=2048,
            pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
            description="Base URL of the Prometheus HTTP API, for example http://prometheus.monitoring:9090. "
            "Credentials belong into auth, not here.",
        ),
    ]
    scrape_interval_seconds: Annotated[
        int,
        Field(ge=1, le=3600, description="How often the endpoint scrapes; $(window) is at least four of these."),
    ] = 15
    timeout_seconds: Annotated[int, Field(ge=1, le=60, description="Time-out of one request.")] = 10
    headers: Annotated[
        dict[str, HeaderValue],
        Field(max_length=16, description="Extra request headers, for example X-Scope-OrgID."),
    ] = {}
    auth: SourceAuth | None = None
    tls: SourceTls | None = None


class MetricsSourceStatus(ApiModel):
    """Whether the endpoint answers."""

    observed_generation: int = -1
    conditions: Annotated[list[Condition], Field(max_length=8)] = []
