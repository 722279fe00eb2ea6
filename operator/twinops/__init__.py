"""TwinOps: digital twins for Kubernetes workloads.

Imports point one way: ``main`` joins ``handlers``, ``cli`` and ``adapters``; those call ``services``;
services call ``core``; core reads ``api``; everybody may raise ``errors``. import-linter keeps it so.
"""

__version__ = "0.1.0"
