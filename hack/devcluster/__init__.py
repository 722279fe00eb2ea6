"""A real Kubernetes control plane on this machine, without containers.

Builds (or finds) and runs etcd, kube-apiserver, kube-controller-manager, kwok,
metrics-server and Prometheus, for tests and demonstrations. A tool of its own: nothing
of the product may be imported here, and the user's own kubeconfig is never touched.
"""

from __future__ import annotations
