"""Forecasts of many metrics at once: an ensemble, calibrated intervals, and the probability of crossing a limit.

Pure numpy: no clock, no I/O, no Kubernetes. ``config`` holds every constant that was tuned; ``views`` lays out a
past, ``members`` reads single forecasts off it, ``calibration`` weighs and calibrates them step by step.
``backtest`` does that over a whole past, with the loops of ``recursions``; ``ensemble`` one sync at a time, on a
``history`` of few bytes; both give the same. ``exceedance`` and its two modules give the probability of crossing a
limit, likewise. ``pack`` writes what was learned into status and reads it back; ``forecaster`` joins all of it.
"""
