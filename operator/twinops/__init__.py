"""TwinOps: digital twins for Kubernetes workloads.

Packages, from the outermost to the innermost; each imports only from those below it, which import-linter checks:

- ``cli``: the ``twinops`` command;
- ``main``, ``wiring``: compose adapters and controllers and run the operator;
- ``handlers`` (kopf), ``adapters`` (Kubernetes, Prometheus, HTTP, process), ``replay`` (recorded history);
- ``controllers``: one package per kind; gather, decide with ``core``, apply;
- ``engine``: history and forecasts of one twin, without Kubernetes;
- ``ports``: Protocols that controllers and engine need and adapters satisfy;
- ``core``: pure logic on numpy;
- ``api``: models of the resources, from which the CRDs are generated;
- ``settings``, ``logs``, and below them ``errors``, ``metric_definitions`` (the standard metrics) and ``printable``.
"""

__version__ = "0.1.0"
