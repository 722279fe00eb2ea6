"""Forecasts and risk on real series, beside their peers: ``python -m benchmarks.forecast``."""
