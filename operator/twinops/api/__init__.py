"""The resources as pydantic models, and the CRDs generated from them.

One package per kind: ``spec``, ``status`` (and its parts), ``rules`` (CEL) and ``kind`` (names, printer columns).
``base``, ``conditions``, ``references`` and ``rules`` hold what kinds share; ``crdgen`` generates ``crds/``, the
chart's copies and ``docs/api.md``. No I/O but the generator's files, no clock, no kopf. No field without effect.
"""

GROUP = "twinops.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "twinops"
"""Name under which TwinOps owns fields (server-side apply)."""

SYNC_REQUESTED_ANNOTATION = f"{GROUP}/sync-requested-at"
"""Setting it to a new value (by convention an RFC 3339 time) requests a sync now."""

TOUCHED_ANNOTATION = f"{GROUP}/touched-at"
"""Set by kopf while it waits for a daemon of a deleted twin to end; never read."""

DAEMON_FINALIZER = f"{GROUP}/daemon"
"""Finalizer of every twin whose daemon runs; kopf adds and removes it."""

GIVE_BACK_FINALIZER = f"{GROUP}/give-back"
"""Finalizer of a twin while a value that it changed must be restored before deletion."""

ORIGINAL_ANNOTATION = f"{GROUP}/original"
"""The value before the correction: on an HPA while its minReplicas is raised, on a twin while ``/scale`` is."""
