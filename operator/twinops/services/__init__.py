"""What the operator does, one file per concern: gather, decide (in core), apply.

Services talk to the outside through the Protocols of ``ports`` only. kopf, HTTP and Kubernetes
clients are forbidden here.
"""
