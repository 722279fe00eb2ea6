"""A small workload for tests: a Deployment of kwok pods, an HPA, twins on it, and metrics that the test sets."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from devcluster.waiting import wait_until
from support.exporter import Exporter
from support.operator import SCRAPE_SECONDS, condition, twin

WELL_WITHIN = 30.0
"""Seconds; far above what anything here takes, so that only a defect runs into it."""

Body = dict[str, Any]

LONG_AGO = "2026-01-01T00:00:00Z"


def open_shop(cluster: DevCluster, namespace: str, exporter: Exporter) -> Shop:
    """Make a namespace with nothing in it."""
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    # Pods are refused as long as it is missing.
    wait_until(lambda: cluster.api.get(path), within=WELL_WITHIN, what="a service account", retry_on=(ApiError,))
    return Shop(cluster, namespace, exporter)


class Shop:
    """One namespace with a workload.

    Args:
        cluster: the control plane.
        namespace: where everything is.
        exporter: serves the metrics.
    """

    def __init__(self, cluster: DevCluster, namespace: str, exporter: Exporter) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._exporter = exporter

    def apply(self, *objects: Body, manager: str | None = None) -> None:
        """Apply objects as a person would with kubectl (client-side, unless a manager is named)."""
        flags = ["--server-side", f"--field-manager={manager}"] if manager else []
        self.cluster.kubectl("apply", *flags, "-f", "-", stdin=yaml.safe_dump_all(objects))

    def metric(self, name: str, value: float) -> None:
        """Set what the metric's query answers, ``shop_NAME{namespace="…"}``, and wait until Prometheus knows."""
        self._exporter.set(f"shop_{name}", value, namespace=self.namespace)
        wait_until(
            lambda: self._stored(name) in {f"{value:g}", str(value), *(["NaN"] if math.isnan(value) else ["+Inf"])},
            within=WELL_WITHIN,
            what=f"{name}={value} in Prometheus",
        )

    def no_metric(self, name: str) -> None:
        """Let the metric's series end, and wait until Prometheus knows."""
        self._exporter.remove(f"shop_{name}", namespace=self.namespace)
        wait_until(lambda: self._stored(name) is None, within=WELL_WITHIN, what=f"no {name} in Prometheus")

    def _stored(self, name: str) -> str | None:
        # As of the whole second, as a sync asks.
        query = urlencode({"query": f'shop_{name}{{namespace="{self.namespace}"}}', "time": int(time.time())})
        with urlopen(f"{self.cluster.prometheus_url}/api/v1/query?{query}", timeout=5) as answer:  # noqa: S310 - ours
            result = json.load(answer)["data"]["result"]
        return str(result[0]["value"][1]) if result else None

    def deployment(self, name: str = "checkout", *, replicas: int | None = 2, version: str = "1.8.2") -> Body:
        """Build a Deployment of pods that kwok makes ready."""
        labels = {"app": name}
        container = {
            "name": "app",
            "image": f"shop.example/{name}:{version}",
            "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        }
        spec: Body = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"nodeName": "node-0", "containers": [container]}},
        }
        if replicas is not None:
            spec["replicas"] = replicas
        return self._object("apps/v1", "Deployment", name, spec)

    def hpa(
        self,
        name: str = "checkout",
        *,
        least: int | None = 2,
        most: int = 10,
        target: str = "checkout",
        percent: int = 60,
    ) -> Body:
        """Build an HPA that scales on CPU, at this percentage of what the pods request."""
        resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
        spec: Body = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": resource}],
        }
        if least is not None:
            spec["minReplicas"] = least
        return self._object("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)

    def twin(self, name: str = "checkout", *, metrics: tuple[str, ...] = ("cpuUsage",), **spec: Any) -> Body:
        """Build a twin of the Deployment ``checkout`` that asks for these metrics, every five seconds."""
        queries = [{"name": m, "query": f'shop_{m}{{namespace="$(namespace)"}}'} for m in metrics]
        source = {"systemType": "Custom", "targetRef": {"name": "checkout"}, "metrics": queries}
        defaults = {"source": source, "syncFrequencySeconds": 5, "predictions": {"horizonsSeconds": [30, 60]}}
        return twin(name, self.namespace, **(defaults | spec))

    def running(self, **hpa: Any) -> None:
        """Apply Deployment and HPA, and wait until the pods are ready."""
        self.apply(self.deployment(), self.hpa(**hpa))
        self.ready(2)

    def age(self) -> None:
        """Let all pods have started long ago: what has just been made is given minutes to start up."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        for pod in self.cluster.api.get(path)["items"]:
            started = pod["status"].get("startTime")
            if started and started != LONG_AGO:
                with suppress(ApiError):
                    self.cluster.api.merge(
                        f"{path}/{pod['metadata']['name']}/status", {"status": {"startTime": LONG_AGO}}
                    )

    def ask(self, *, name: str = "checkout") -> str:
        """Ask for a sync, and return what names the request. Pods are no young ones by then."""
        self.age()
        asked = uuid.uuid4().hex
        self.merge({"metadata": {"annotations": {"twinops.dev/sync-requested-at": asked}}}, name)
        return asked

    def sync(self, times: int = 1, *, name: str = "checkout") -> Body:
        """Ask for syncs one after the other, and return the twin as the last one left it."""
        body: Body = {}
        for _ in range(times):
            asked = self.ask(name=name)
            body = self.until(partial(_has_answered, asked), "the requested sync", name=name)
        return body

    def seen(self, times: int, *, name: str = "checkout") -> Body:
        """Ask for syncs until the worst deviation was found in so many samples; a sample counts once.

        Returns:
            The twin, with ``times`` entries in its first alert's window.
        """
        return self._sync_until(lambda alert: len(alert.get("recent", "")) >= times, f"{times} samples outside", name)

    def lasting(self, *, name: str = "checkout") -> Body:
        """Ask for syncs until a deviation has lasted, and return the twin as that sync left it."""
        return self._sync_until(lambda alert: bool(alert.get("persistent")), "a lasting deviation", name)

    def _sync_until(self, holds: Callable[[Body], bool], what: str, name: str) -> Body:
        body: Body = {}

        def look() -> bool:
            nonlocal body
            body = self.sync(name=name)
            alerts = body["status"].get("drift", {}).get("alerts", ())
            # Pods that have just been made are given time to start before anything is done about what they use.
            return bool(alerts) and holds(alerts[0]) and not body["status"].get("startUp")

        try:
            wait_until(look, within=WELL_WITHIN, what=what, interval=0.3)
        except Exception as error:
            error.add_note(yaml.safe_dump(body.get("status")))
            raise
        return body

    def source(self, name: str, url: str, **spec: Any) -> None:
        """Apply a MetricsSource."""
        spec = {"url": url, "scrapeIntervalSeconds": SCRAPE_SECONDS, **spec}
        body = {"apiVersion": "twinops.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": name}, "spec": spec}
        self.apply(body)

    def ready(self, replicas: int) -> None:
        """Wait until the Deployment has so many ready replicas."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/checkout"
        wait_until(
            lambda: self.cluster.api.get(path).get("status", {}).get("readyReplicas") == replicas,
            within=WELL_WITHIN,
            what=f"{replicas} ready replicas",
        )

    def pods(self, name: str = "checkout") -> list[str]:
        """Return the names of a Deployment's pods."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{name}"
        return [pod["metadata"]["name"] for pod in self.cluster.api.get(path)["items"]]

    def get(self, name: str = "checkout") -> Body:
        """Return the twin as it is now."""
        return self.cluster.api.get(self._twin_path(name))

    def merge(self, patch: Body, name: str = "checkout") -> None:
        """Change the twin."""
        self.cluster.api.merge(self._twin_path(name), patch)

    def delete(self, name: str = "checkout") -> None:
        """Delete the twin, and do not wait."""
        self.cluster.api.delete(self._twin_path(name))

    def until_gone(self, name: str = "checkout", *, within: float = WELL_WITHIN) -> None:
        """Wait until the twin does not exist any more."""

        def gone() -> bool:
            try:
                self.get(name)
            except ApiError as error:
                return error.status == HTTPStatus.NOT_FOUND
            return False

        wait_until(gone, within=within, what=f"{name} is gone")

    def until(
        self, holds: Callable[[Body], Any], what: str, *, name: str = "checkout", within: float = WELL_WITHIN
    ) -> Body:
        """Wait until the twin is so, and return it."""
        seen: Body = {}

        def look() -> bool:
            nonlocal seen
            seen = self.get(name)
            return bool(holds(seen))

        try:
            wait_until(look, within=within, what=what, retry_on=(ApiError,))
        except Exception as error:
            error.add_note(yaml.safe_dump(seen.get("status")))
            raise
        return seen

    def until_condition(
        self, kind: str, status: str, *, reason: str | None = None, name: str = "checkout", within: float = WELL_WITHIN
    ) -> Body:
        """Wait until a condition of the twin is so, and return the twin."""

        def holds(body: Body) -> bool:
            found = condition(body, kind)
            return found.get("status") == status and reason in (None, found.get("reason"))

        return self.until(holds, f"{kind}={status} {reason or ''}".strip(), name=name, within=within)

    def live_hpa(self, name: str = "checkout") -> Body:
        """Return the HPA as it is now."""
        return self.cluster.api.get(f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers/{name}")

    def events(self, reason: str) -> list[Body]:
        """Return the Events of this reason in the namespace."""
        listed = self.cluster.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")
        return [event for event in listed["items"] if event.get("reason") == reason]

    def _twin_path(self, name: str) -> str:
        return f"/apis/twinops.dev/v1alpha1/namespaces/{self.namespace}/digitaltwins/{name}"

    def _object(self, api_version: str, kind: str, name: str, spec: Body) -> Body:
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }


def _has_answered(asked: str, body: Body) -> bool:
    return bool(body.get("status", {}).get("lastHandledSyncRequest") == asked)
