"""Etcd: the memory of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devcluster.ports import LOOPBACK, free_port
from devcluster.probes import answers

if TYPE_CHECKING:
    from devcluster.process import Process
    from devcluster.site import Site


_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Etcd:
    """Etcd and where it is reached.

    Attributes:
        process: The process.
        url: Client address.
    """

    process: Process
    url: str


def etcd(site: Site) -> Etcd:
    """Describe a single-member etcd that trades durability for speed."""
    client = f"http://{LOOPBACK}:{free_port()}"
    peer = f"http://{LOOPBACK}:{free_port()}"
    flags = [
        "--name=devcluster",
        f"--data-dir={site.folder('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=devcluster={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    # Its farewell to the API server's watches takes seconds, and serves nobody.
    process = site.process("etcd", flags, ready=lambda: answers(f"{client}/readyz"), grace=_GRACE_SECONDS)
    return Etcd(process, client)
