"""Prometheus: query texts apart from the client that sends them."""
