"""Forecasts of many metrics at once: an ensemble, calibrated intervals, and the probability of crossing a limit.

Pure numpy: no clock, no I/O, no Kubernetes. ``forecaster`` is the public face; ``config`` holds every constant that was
tuned. ``cells``, ``profiles`` and ``views`` lay out a past, ``members`` reads single forecasts off it. ``calibration``
holds what was learned of them and mixes them; ``updates`` says how that changes. ``backtest`` runs over a whole past,
``ensemble`` sync by sync on a compressed ``history``; both give the same. ``exceedance`` and its three modules give the
probability of crossing a limit, likewise. ``pack`` writes what was learned into status and reads it back;
``reporting`` gives it the types that the rest of the core reads.
"""
