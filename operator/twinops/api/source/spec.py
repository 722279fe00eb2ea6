"""``MetricsSource.spec``: a Prometheus-compatible endpoint that an administrator allows (cluster-scoped)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from twinops.api.base import ApiModel, DnsName
from twinops.api.rules import ATOMIC, Rule, at_most_one, literal, validations

# A line break in a header value would begin a header of its own.
HeaderValue = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]
ExternalLabelValue = Annotated[str, Field(max_length=256)]
ReplicaLabel = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_RESERVED_HEADERS = literal(
    {"authorization", "connection", "content-length", "cookie", "host", "proxy-authorization", "transfer-encoding"}
)
_HEADER_RULES = (
    Rule(
        "self.all(k, k.matches('^[A-Za-z0-9][-A-Za-z0-9]{0,127}$'))",
        "header names are letters, digits and -, at most 128 of them",
    ),
    Rule(
        f"self.all(k, !(k.lowerAscii() in {_RESERVED_HEADERS}))",
        "Authorization, Cookie, Host and the like cannot be set here; credentials belong into auth, "
        "where they are read from a Secret",
    ),
)
_LABEL_RULES = (
    Rule(
        "self.all(k, k.matches('^[A-Za-z_][A-Za-z0-9_]{0,127}$') && !k.startsWith('__'))",
        "keys must be Prometheus label names, not beginning with __",
    ),
)
_SPEC_RULES = (
    Rule(
        "!has(self.tls) || self.url.startsWith('https://')",
        "tls needs a url that begins with https://",
        field_path=".tls",
    ),
)
_URL_RULES = (
    Rule("self.matches('^https?://')", "url must begin with http:// or https://"),
    Rule(
        "!self.matches('^[a-z]*://[^/]*@')",
        "url must not carry credentials: put them into a Secret and name it in auth",
    ),
    Rule("!self.matches('[?#]')", "url is a base URL, without query (?) and fragment (#)"),
    Rule(
        r"!self.matches('^https?://') || "
        r"(!self.matches('[ \\t\\n\\r]') && isURL(self) && url(self).getHostname() != '')",
        "url has no host, or is not a URL",
    ),
)
_TLS_RULES = (
    Rule(
        "!has(self.caSecretRef) || !self.insecureSkipVerify",
        "insecureSkipVerify accepts any certificate, so caSecretRef would have no effect: choose one",
        field_path=".insecureSkipVerify",
    ),
)


def _with_url_rules(schema: dict[str, Any]) -> None:
    """Let the rules, which say what is wrong, stand in for the pattern, which only says that something is."""
    del schema["pattern"]
    schema.update(validations(*_URL_RULES))


class SecretKeyRef(ApiModel):
    """One key of a Secret in the operator's own namespace."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    name: Annotated[DnsName, Field(description="Name of the Secret, in the operator's namespace.")]
    key: Annotated[
        str,
        Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key within the Secret's data."),
    ]


class SecretRef(ApiModel):
    """A Secret in the operator's own namespace."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    name: Annotated[DnsName, Field(description="Name of the Secret, in the operator's namespace.")]


class SourceAuth(ApiModel):
    """How the operator proves itself to the endpoint. At most one of the two."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            at_most_one(
                "bearerTokenSecretRef",
                "basicAuthSecretRef",
                message="give bearerTokenSecretRef or basicAuthSecretRef, not both",
            )
        )
    )

    bearer_token_secret_ref: Annotated[SecretKeyRef | None, Field(description="Key that holds a bearer token.")] = None
    basic_auth_secret_ref: Annotated[
        SecretRef | None, Field(description="Secret of type kubernetes.io/basic-auth (username, password).")
    ] = None


class SourceTls(ApiModel):
    """How the endpoint proves itself to the operator."""

    model_config = ConfigDict(json_schema_extra=validations(*_TLS_RULES))

    ca_secret_ref: Annotated[SecretKeyRef | None, Field(description="Key that holds a PEM bundle to trust.")] = None
    insecure_skip_verify: Annotated[bool, Field(description="Accept any certificate. For tests only.")] = False


class MetricsSourceSpec(ApiModel):
    """What an administrator allows twins to ask."""

    model_config = ConfigDict(json_schema_extra=validations(*_SPEC_RULES))

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
            description="Base URL of the Prometheus HTTP API, for example http://prometheus.monitoring:9090. "
            "Credentials belong into auth, not here.",
            json_schema_extra=_with_url_rules,
        ),
    ]
    scrape_interval_seconds: Annotated[
        int,
        Field(ge=1, le=3600, description="How often the endpoint scrapes; $(window) is at least four of these."),
    ] = 15
    timeout_seconds: Annotated[int, Field(ge=1, le=60, description="Time-out of one request.")] = 10
    external_labels: Annotated[
        dict[str, ExternalLabelValue],
        Field(
            max_length=8,
            description="Labels that every series of this cluster carries in this store, the kubelet's included, for "
            "example cluster: eu-1 where Thanos holds several clusters; matchers of every built-in query.",
            json_schema_extra=validations(*_LABEL_RULES),
        ),
    ] = {}
    replica_labels: Annotated[
        list[ReplicaLabel],
        Field(
            max_length=8,
            description="Further labels by which servers that scrape the same targets are told apart in this store, as "
            "prometheus_replica and replica are. Built-in queries count once what differs only in them.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = []
    headers: Annotated[
        dict[str, HeaderValue],
        Field(
            max_length=16,
            description="Extra request headers, for example X-Scope-OrgID.",
            json_schema_extra=validations(*_HEADER_RULES),
        ),
    ] = {}
    auth: Annotated[
        SourceAuth | None, Field(description="How the operator proves itself to the endpoint. At most one of the two.")
    ] = None
    tls: Annotated[SourceTls | None, Field(description="How the endpoint proves itself to the operator.")] = None
