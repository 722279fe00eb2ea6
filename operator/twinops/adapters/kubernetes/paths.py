"""URL paths of the Kubernetes API.

Source: Kubernetes API concepts, "Resource URIs".
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from twinops.errors import NotFound

_NO_NAMES: Final = frozenset({"", ".", ".."})
"""Path parts that URL normalisation removes, so that the path would name another resource."""


def resource_path(
    api_version: str,
    plural: str,
    *,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """Return the path of a resource, every part escaped.

    Args:
        api_version: ``v1`` or ``group/version``.
        plural: for example ``deployments``.
        namespace: None for cluster-scoped resources, and to list over all namespaces.
        name: None for the collection.
        subresource: for example ``status`` or ``scale``.

    Raises:
        NotFound: a part that no object can be called.
    """
    parts = ["apis", *api_version.split("/", 1)] if "/" in api_version else ["api", api_version]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(plural)
    parts += [part for part in (name, subresource) if part is not None]
    if any(part in _NO_NAMES for part in parts):
        raise NotFound(f"{plural} {name!r}: no object can be called so", status=404)
    return "/" + "/".join(quote(part, safe="") for part in parts)


def resource_of(path: str) -> str:
    """Return ``group/plural`` of the resource that a path names, without its namespace and name."""
    parts = path.split("/")[1:]
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    if rest[:1] == ["namespaces"] and len(rest) > len(("namespaces", "name")):
        rest = rest[2:]
    return f"{group}/{rest[0] if rest else ''}"
