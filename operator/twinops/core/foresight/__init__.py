"""Forecasts that weigh well-known members on each series' own errors, and intervals that are tracked online.

Pure numpy: no clock, no I/O, no Kubernetes. ``config`` holds every figure that was tuned; ``views`` lays out a
past, ``members`` reads single forecasts off it, ``track`` weighs and calibrates them step by step. ``backtest``
does that over a whole past, with the loops of ``recursions``; ``live`` one sync at a time, on a ``history`` of few
bytes; both give the same. ``crossing`` and its two modules give the probability of crossing a limit, likewise.
``pack`` writes what was learned into status and reads it back, ``forecaster`` gives it to the rest of the core.
"""
