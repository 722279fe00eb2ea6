"""Prometheus and compatible backends.

``catalogue``, ``candidates``, ``promql``, ``selectors`` and ``quantiles`` make query texts; ``batcher``, ``questions``,
``singles``, ``joined`` and ``sharing_state`` decide which are sent in one request; ``client``, ``endpoint``,
``transport`` and ``wire`` send them and read the answers.
"""
