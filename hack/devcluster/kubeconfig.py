"""Kubeconfig files: complete in themselves, readable by their owner alone."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.pki import KeyPair

CONTEXT = "devcluster"


def certificate_user(pair: KeyPair) -> dict[str, str]:
    """Return the `user` entry for a client certificate."""
    return {
        "client-certificate-data": _encoded(pair.certificate),
        "client-key-data": _encoded(pair.key),
    }


def write_kubeconfig(
    path: Path, *, api_url: str, ca_file: Path, user: dict[str, str], namespace: str = "default"
) -> Path:
    """Write a kubeconfig with one context and return its path.

    Args:
        path: The file to write.
        api_url: Address of the API server.
        ca_file: Certificate authority of the API server.
        user: Its `user` entry: a certificate or `{"token": …}`.
        namespace: Namespace of the context.
    """
    cluster = {"server": api_url, "certificate-authority-data": _encoded(ca_file)}
    context = {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": context}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    # JSON is YAML, and needs no library.
    path.write_text(json.dumps(config, indent=2))
    return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
