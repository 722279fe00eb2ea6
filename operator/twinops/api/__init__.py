"""Shapes of the resources, as pydantic models, and the CRDs generated from them.

Nothing in here does I/O, reads a clock or knows kopf. A field stands here only when it works.
"""

GROUP = "twinops.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "twinops"
"""Name under which TwinOps owns fields (server-side apply)."""

SYNC_REQUESTED_ANNOTATION = f"{GROUP}/sync-requested-at"
"""Set to any new value (by convention an RFC 3339 time) to ask for a sync now."""

TOUCHED_ANNOTATION = f"{GROUP}/touched-at"
"""Changes while kopf waits for a daemon that does not end; never read, and gone with the twin."""

DAEMON_FINALIZER = f"{GROUP}/daemon"
"""Held by every twin whose daemon runs; kopf puts it on and takes it off."""

GIVE_BACK_FINALIZER = f"{GROUP}/give-back"
"""Held by a twin while it holds values that must be given back on deletion."""

ORIGINAL_ANNOTATION = f"{GROUP}/original"
"""Stands on an HPA while its minReplicas is raised (and on a twin while it holds ``/scale``): what it was before."""
