"""The objects of the story, as dictionaries."""

from __future__ import annotations

from typing import Any

from demo import scenario

Json = dict[str, Any]

SCHEDULER = "demo"
"""No scheduler answers to this name: `kubelet` binds the pods when their start is over."""

TWIN_GROUP = "twinops.dev/v1alpha1"


def namespace(name: str) -> Json:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(namespace: str) -> Json:
    """Return the shop's Deployment."""
    labels = {"app.kubernetes.io/name": scenario.APP, "app.kubernetes.io/version": scenario.VERSION}
    selector = {"app.kubernetes.io/name": scenario.APP}
    resources = {
        "cpu": f"{scenario.POD.cpu_millicores}m",
        "memory": f"{scenario.POD.memory_mebibytes}Mi",
    }
    container = {
        "name": scenario.APP,
        "image": f"registry.example/{scenario.APP}:{scenario.VERSION}",
        "resources": {"requests": resources, "limits": resources},
    }
    pod = {
        "schedulerName": SCHEDULER,
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    spec = {
        "replicas": scenario.AUTOSCALER.minimum,
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": selector}, "spec": pod},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": scenario.APP, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def autoscaler(namespace: str) -> Json:
    """Return the shop's HorizontalPodAutoscaler, with the default behaviour of Kubernetes."""
    target = {"type": "Utilization", "averageUtilization": scenario.AUTOSCALER.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": scenario.APP, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": scenario.APP},
            "minReplicas": scenario.AUTOSCALER.minimum,
            "maxReplicas": scenario.AUTOSCALER.maximum,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def twin() -> Json:
    """Return the DigitalTwin of the shop."""
    return {
        "apiVersion": TWIN_GROUP,
        "kind": "DigitalTwin",
        "metadata": {"name": scenario.APP, "namespace": scenario.TWINNED},
        "spec": {
            "source": {
                "systemType": "WebService",
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": scenario.APP},
            },
            "syncFrequencySeconds": scenario.SYNC_SECONDS,
            "expectedState": {
                "metrics": {"cpuUsage": 45, "latencyMs": 150, "errorRate": 0},
                "replicas": {"min": scenario.AUTOSCALER.minimum, "max": scenario.AUTOSCALER.maximum},
                "version": scenario.VERSION,
            },
            # The HPA lets CPU swing between its 60 % and what a quiet hour leaves.
            "thresholds": {"cpuUsage": 50, "latencyMs": 100},
            "absoluteThresholds": {"errorRate": 0.02},
            "limits": {"cpuUsage": scenario.CPU_LIMIT_PERCENT, "latencyMs": scenario.LATENCY_LIMIT_MS},
            "limitsPerReplica": {"throughputRps": scenario.COMFORTABLE_RATE},
            "predictions": {"horizonsSeconds": list(scenario.HORIZONS_SECONDS), "historySeconds": 7200},
            "autoCorrection": {"cooldownSeconds": 15},
        },
    }
