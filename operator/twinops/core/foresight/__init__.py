"""Forecasts that weigh well-known members on each series' own errors, and intervals that are tracked online.

Pure numpy: no clock, no I/O, no Kubernetes. ``config`` holds every figure that was tuned; ``views`` lays out a
past, ``members`` reads single forecasts off it, ``track`` weighs and calibrates them step by step,
``backtest`` runs that over a past, ``live`` one sync at a time, with the same code.
"""
