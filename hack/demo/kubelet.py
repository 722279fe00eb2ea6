"""Plays scheduler and kubelet for the pods of the shops, from outside and for both alike.

A pod stays Pending for as long as a real one would need for a node, an image and its warm-up; then it is
bound to a fake node, where kwok makes it ready, and the shop is told. The CPU that the shop's pods really
worked is written to where kwok reads it, and so reaches metrics-server, the HPA and Prometheus.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from demo import scenario
from demo.manifests import Json
from devcluster.cluster import DevCluster
from devcluster.errors import ApiError

_TICK_SECONDS = 0.5
_CPU_SECONDS = 2.0
_TIMEOUT_SECONDS = 5.0
_LEAST_CHANGE = 0.04
"""Smaller changes of a pod's CPU, as a share of its request, are not worth a write."""


def ask(url: str, *, body: Any = None) -> Any:
    """GET a URL on loopback, or PUT a body to it as JSON; return the JSON that comes back, if any."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method="GET" if body is None else "PUT")  # noqa: S310 - http only
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - likewise
        content = response.read()
    return json.loads(content) if content else None


class Kubelet:
    """A thread that looks after all pods of the shops until it is stopped.

    Attributes:
        start_seconds: time from a pod's creation until it is bound.
        error: what went wrong last, None if nothing did.

    Args:
        cluster: where the pods are.
        shops: base URL of each shop, by namespace.
    """

    def __init__(self, cluster: DevCluster, shops: Mapping[str, str]) -> None:
        self.start_seconds = 0.0
        self.error: Exception | None = None
        self._cluster = cluster
        self._shops = dict(shops)
        self._next_cpu = 0.0
        self._seen: dict[str, float] = {}
        self._told: dict[str, list[str]] = {}
        self._cpu = {namespace: CpuMeter() for namespace in shops}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            try:
                self._tick(time.monotonic())
            except (ApiError, OSError) as error:
                # The control plane may be slow for a moment; the next second is another try.
                self.error = error

    def _tick(self, now: float) -> None:
        pods = self._pods()
        known = {pod["metadata"]["uid"] for of_one in pods.values() for pod in of_one}
        self._seen = {uid: since for uid, since in self._seen.items() if uid in known}
        for namespace, url in self._shops.items():
            for pod in pods[namespace]:
                self._bind_when_started(pod, now)
            ready = sorted(pod["metadata"]["name"] for pod in pods[namespace] if is_ready(pod))
            if ready != self._told.get(namespace):
                ask(f"{url}/-/pods", body=ready)
                self._told[namespace] = ready
        if now >= self._next_cpu:
            self._next_cpu = now + _CPU_SECONDS
            self._report_cpu(now)

    def _pods(self) -> defaultdict[str, list[Json]]:
        selector = urllib.parse.quote(f"app.kubernetes.io/name={scenario.APP}")
        pods: defaultdict[str, list[Json]] = defaultdict(list)
        for pod in self._cluster.api.get(f"/api/v1/pods?labelSelector={selector}")["items"]:
            pods[pod["metadata"]["namespace"]].append(pod)
        return pods

    def _bind_when_started(self, pod: Json, now: float) -> None:
        metadata = pod["metadata"]
        since = self._seen.setdefault(metadata["uid"], now)
        if pod["spec"].get("nodeName") or metadata.get("deletionTimestamp"):
            return
        if now - since < self.start_seconds:
            return
        nodes = self._cluster.options.nodes
        node = nodes[hash(metadata["uid"]) % len(nodes)]
        binding = {"metadata": {"name": metadata["name"]}, "target": {"kind": "Node", "name": node}}
        self._cluster.api.create(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding", binding)

    def _report_cpu(self, now: float) -> None:
        for namespace, url in self._shops.items():
            for pod, millicores in self._cpu[namespace].changes(ask(f"{url}/-/cpu"), now).items():
                self._set_usage(namespace, pod, millicores)

    def _set_usage(self, namespace: str, pod: str, millicores: float) -> None:
        memory = f"{scenario.POD.memory_mebibytes // 2}Mi"
        try:
            self._cluster.set_pod_usage(namespace, pod, cpu=f"{millicores:.0f}m", memory=memory)
        except ApiError as error:
            if error.status != 404:  # noqa: PLR2004 - the pod has just gone
                raise


def is_ready(pod: Json) -> bool:
    """Whether a pod takes requests: ready, and not about to end."""
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


class CpuMeter:
    """Turns CPU seconds by pod into millicores, and tells those that changed."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}
        self._reported: dict[str, float] = {}

    def changes(self, cpu_seconds: Mapping[str, float], now: float) -> dict[str, float]:
        """Return the pods whose use has changed noticeably, in millicores."""
        changed = {}
        for pod, seconds in cpu_seconds.items():
            before, then = self._last.get(pod, (0.0, now - _CPU_SECONDS))
            millicores = 1000 * (seconds - before) / (now - then)
            if abs(millicores - self._reported.get(pod, -1000.0)) > _LEAST_CHANGE * scenario.POD.cpu_millicores:
                changed[pod] = millicores
        self._last = {pod: (seconds, now) for pod, seconds in cpu_seconds.items()}
        self._reported = {pod: cpu for pod, cpu in self._reported.items() if pod in cpu_seconds} | changed
        return changed
