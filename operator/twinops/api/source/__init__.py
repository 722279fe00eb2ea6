"""MetricsSource: spec and status."""
