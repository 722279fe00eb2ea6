"""Refused requests to the API server: which right is missing, in which namespace, and what grants it, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_REQUEST = re.compile(r"^([A-Z]+) (/[^\s:?]*)")
_BY_RBAC = "cannot patch resource "
"""Part of RBAC's answer. Admission refuses with 403, too, but then no right is missing."""

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

_GRANTED = frozenset(
    {
        ("twinops.dev", "digitaltwins"),
        ("twinops.dev", "metricssources"),
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("apps", "replicasets"),
        ("", "replicationcontrollers"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("keda.sh", "scaledobjects"),
    }
)
"""Group and resource of what the chart's own roles allow the operator to read."""

_HPA = ("autoscaling", "horizontalpodautoscalers")


class RefusalReason(StrEnum):
    """Why the API server did not answer a request with what was asked for, as conditions show it."""

    FORBIDDEN = "Forbidden"
    UNAUTHORIZED = "Unauthorized"
    REQUEST_REFUSED = "RequestRefused"
    CLUSTER_UNAVAILABLE = "ClusterUnavailable"

    @property
    def lasting(self) -> bool:
        """Tell whether the same request will be refused again until a person acts."""
        return self in (RefusalReason.FORBIDDEN, RefusalReason.REQUEST_REFUSED)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server refused a request of a sync.

    Attributes:
        message: what is missing, and how to mend it.
    """

    reason: RefusalReason
    message: str

    @property
    def lasting(self) -> bool:
        """Tell whether the same request will be refused again until a person acts."""
        return self.reason.lasting


@dataclass(frozen=True, slots=True)
class _Request:
    verb: str
    group: str
    version: str
    resource: str = ""
    subresource: str = ""
    namespace: str = ""

    @property
    def what(self) -> str:
        """The resource as ``kubectl auth can-i`` takes it."""
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{name}/{self.subresource}" if self.subresource else name


def missing_right(said: str, status: int) -> str:
    """Return which right a refused write lacks and what grants it, empty where it was refused for another reason.

    Args:
        said: the error's text: method and path of the request, then what the API server said.
        status: HTTP status.
    """
    return refusal(said, status).message if status == _FORBIDDEN and _BY_RBAC in said else ""


def refusal(said: str, status: int) -> Refusal:
    """Return what an error of the API server means for a twin.

    The message names the request, not the API server's answer: a twin's author need not see that.

    Args:
        said: the error's text; it begins with method and path of the request.
        status: HTTP status, 0 when there was no answer.
    """
    found = _REQUEST.match(said)
    asked = found.group(0) if found else "the API server"
    if status == _FORBIDDEN:
        request = _parse(found.group(1), found.group(2)) if found else None
        if request is None:
            message = f"{asked} is forbidden to the operator: grant it the right"
            return Refusal(RefusalReason.FORBIDDEN, message)
        where = f" in namespace {request.namespace}" if request.namespace else ""
        right = f"the operator may not {request.verb} {request.what}{where}"
        return Refusal(RefusalReason.FORBIDDEN, f"{right}: {_remedy(request)}")
    if status == _UNAUTHORIZED:
        message = "the API server does not accept the operator's credentials"
        return Refusal(RefusalReason.UNAUTHORIZED, message)
    if 400 <= status < 500 and status not in (408, 410, 429):  # noqa: PLR2004 - HTTP's client errors
        message = f"the API server refuses {asked} ({status}); the operator's log has its answer"
        return Refusal(RefusalReason.REQUEST_REFUSED, message)
    answered = f" ({status})" if status else ""
    return Refusal(RefusalReason.CLUSTER_UNAVAILABLE, f"{asked} was not answered{answered}")


def _parse(method: str, path: str) -> _Request | None:
    # The path stays escaped, so that no control character of an author's apiVersion reaches a terminal.
    parts = path.strip("/").split("/")
    if len(parts) >= 3 and parts[0] == "apis":  # noqa: PLR2004 - apis, group, version
        group, version, rest = parts[1], parts[2], parts[3:]
    elif len(parts) >= 2 and parts[0] == "api":  # noqa: PLR2004 - api, version
        group, version, rest = "", parts[1], parts[2:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":  # noqa: PLR2004 - namespaces, its name, what is in it
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    return _Request(
        verb=_VERBS.get(method, "get" if name or not rest else "list"),
        group=group,
        version=version,
        resource=rest[0] if rest else "",
        subresource=rest[2] if len(rest) > 2 else "",  # noqa: PLR2004 - plural, name, subresource
        namespace=namespace,
    )


def _remedy(request: _Request) -> str:
    reading = request.verb in ("get", "list")
    if not request.resource:
        path = f"/apis/{request.group}/{request.version}" if request.group else f"/api/{request.version}"
        return f"grant it get on {path}, as the ClusterRole system:discovery does"
    if (request.group, request.resource) == ("", "secrets"):
        return "name the Secret in rbac.secretNames of the chart"
    if reading and (request.group, request.resource) == ("", "pods"):
        return "set rbac.readPods of the chart to true"
    if reading and ((request.group, request.resource) in _GRANTED or request.subresource == "scale"):
        return "the chart grants that with rbac.create: true, in every namespace of watchNamespaces"
    if request.verb == "patch" and ((request.group, request.resource) == _HPA or request.subresource == "scale"):
        return "set rbac.correct of the chart to true, or spec.autoCorrection.mode of the twin to Preview"
    value = "extraObserveRules" if reading else "extraCorrectRules"
    verbs = "get, list, watch" if reading else request.verb
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    group = request.group or '""'
    return f"add {{apiGroups: [{group}], resources: [{resource}], verbs: [{verbs}]}} to rbac.{value} of the chart"
