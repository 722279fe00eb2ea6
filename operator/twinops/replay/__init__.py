"""``twinops replay``: runs the operator's core over recorded history, scores its forecasts and reports.

Reads files; makes no network request (``twinops.cli`` fetches from Prometheus). No kopf.
"""
