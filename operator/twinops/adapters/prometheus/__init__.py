"""Prometheus and compatible backends.

``catalogue``, ``candidates``, ``promql``, ``selectors`` and ``quantiles`` make query texts; ``client``, ``endpoint``,
``transport`` and ``wire`` send them and read the answers.
"""
