"""The ``twinops`` command: front doors beside the handlers."""
