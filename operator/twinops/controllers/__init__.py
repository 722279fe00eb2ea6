"""One package per kind: gather what is known, decide by ``core``, apply. Shared parts in ``shared``.

Forbidden here: kopf and any client library; what is outside is reached through ``ports``.
"""
