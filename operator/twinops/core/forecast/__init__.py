"""Forecasts of many metrics at once: an ensemble, calibrated intervals, and the probability of crossing a limit.

Pure numpy: no clock, no I/O, no Kubernetes. ``forecaster`` is the public interface; ``config`` holds every tuned
constant. ``cells``, ``profiles`` and ``views`` resample a past, ``members`` computes single forecasts from it.
``level_shifts`` detects new levels. ``calibration`` holds weights and error quantiles of the members and combines them;
``updates`` changes these. ``backtest`` works on a whole past, ``ensemble`` sync by sync on a compressed ``history``,
with the same result. ``exceedance`` and its three modules compute the probability of crossing a limit, likewise.
``pack`` serializes the calibration for status; ``reporting`` converts arrays into the types that the rest of the core
reads.
"""
