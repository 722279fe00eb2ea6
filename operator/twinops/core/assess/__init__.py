"""Assesses one observation of a twin: availability of its metrics, health, risks and drift. No I/O."""
