"""The controller of MetricsSources."""
