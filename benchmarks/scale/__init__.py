"""What many twins cost: the real operator, API server, etcd and Prometheus, with a synthetic exporter.

``docs/performance.md`` says how to run it and what each figure means.
"""
