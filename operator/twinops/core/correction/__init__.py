"""Corrections: how many replicas are required, whether they may be set, and how saved values are restored.

Pure like the rest of the core. ``settle`` finds out the outcomes of earlier decisions, ``decide`` makes at most one new
decision, ``records`` keeps the list in status; controllers carry decisions out in between. A lever is asked for its
facts (:mod:`twinops.core.lever`), a metric for its row (:mod:`twinops.metric_definitions`).
"""
