"""Implementations of the ports: the Kubernetes API, Prometheus, the clock; and the operator's HTTP server and process.

Foreign errors are translated into ours here, once. No decisions about twins, and no kopf.
"""
