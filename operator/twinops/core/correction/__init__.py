"""The correction: how many replicas are needed, whether they may be set, and how values are given back.

Pure like the rest of the core. ``settle`` judges what came of earlier decisions, ``decide`` makes at most
one new decision, ``record`` writes it down in status; controllers carry it out in between.
"""
