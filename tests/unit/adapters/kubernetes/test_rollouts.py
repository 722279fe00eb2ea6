"""Whether a rollout is under way, by the status that real controllers write."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.adapters.kubernetes.pod_cache import kept_pod
from twinops.adapters.kubernetes.rollouts import of_object, of_pods

Json = dict[str, Any]


def progressing(reason: str) -> list[Json]:
    return [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True", "reason": reason}]


def deployment(**status: Any) -> Json:
    steady = {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4, "availableReplicas": 4}
    return {"metadata": {"generation": 3}, "spec": {"replicas": 4}, "status": steady | status}


def stateful(spec: Json | None = None, **status: Any) -> Json:
    steady = {
        "observedGeneration": 3,
        "replicas": 4,
        "updatedReplicas": 1,
        "currentRevision": "a",
        "updateRevision": "b",
    }
    return {"metadata": {"generation": 3}, "spec": {"replicas": 4, **(spec or {})}, "status": steady | status}


def pods(*labels: Json) -> list[Any]:
    bodies = [
        {"metadata": {"namespace": "n", "name": f"p{n}", "labels": each}, "status": {"phase": "Running"}}
        for n, each in enumerate(labels)
    ]
    return [kept_pod(body) for body in bodies]


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        pytest.param("Deployment", deployment(conditions=progressing("NewReplicaSetAvailable")), "", id="done"),
        pytest.param("Deployment", deployment(), "", id="done, without a deadline to progress"),
        pytest.param("Deployment", deployment(observedGeneration=2), "generation 3", id="not acted on"),
        pytest.param("Deployment", deployment(updatedReplicas=1), "3 of 4 pods are of an older", id="old pods"),
        pytest.param("Deployment", deployment(replicas=5), "1 of 5 pods", id="an old pod that still ends"),
        pytest.param(
            "Deployment",
            deployment(availableReplicas=1, conditions=progressing("ReplicaSetUpdated")),
            "3 of 4 new pods are not available (ReplicaSetUpdated)",
            id="new pods start",
        ),
        pytest.param(
            "Deployment",
            deployment(availableReplicas=3, conditions=progressing("ProgressDeadlineExceeded")),
            "ProgressDeadlineExceeded",
            id="stuck",
        ),
        pytest.param(
            "Deployment",
            deployment(replicas=8, updatedReplicas=8, conditions=progressing("NewReplicaSetAvailable")),
            "",
            id="only scaled: what is complete stays so",
        ),
        pytest.param(
            "Deployment",
            deployment(replicas=2, updatedReplicas=2, availableReplicas=2),
            "",
            id="fewer than asked for, as a quota may leave it",
        ),
        pytest.param("StatefulSet", stateful(), "3 of 4 pods are of an older", id="stateful set"),
        pytest.param("StatefulSet", stateful(currentRevision="b"), "", id="stateful set, done"),
        pytest.param(
            "StatefulSet",
            stateful({"updateStrategy": {"rollingUpdate": {"partition": 3}}}),
            "",
            id="a partition is meant to last",
        ),
        pytest.param("StatefulSet", stateful({"updateStrategy": {"type": "OnDelete"}}), "", id="on delete, likewise"),
        pytest.param("ReplicaSet", deployment(updatedReplicas=0), "", id="replica sets have one revision"),
        pytest.param("Rollout", {"metadata": {"generation": 3}}, "pods of 2 revisions", id="two hashes"),
        pytest.param(
            "Rollout", {"metadata": {"generation": 3}, "status": {"observedGeneration": "2"}}, "revisions", id="a text"
        ),
    ],
)
def test_rollouts(kind: str, body: Json, words: str) -> None:
    key = "rollouts-pod-template-hash"
    told = of_object(kind, body) or of_pods(kind, pods({key: "a"}, {key: "b"}, {key: "b"}))
    assert words in told
    assert bool(told) == bool(words)


def test_pods_of_one_revision_or_of_none_are_no_rollout() -> None:
    key = "controller-revision-hash"
    assert of_pods("CloneSet", pods({key: "a"}, {key: "a"}, {})) == ""
    assert of_pods("Herd", pods({}, {"app": "herd"})) == ""
