"""The pure core: assessing, forecasting and deciding.

Only numpy and ``twinops.api`` may be imported here. No I/O, no clock, no global random generator:
``now`` (Unix seconds) and random generators are arguments. The same input gives the same output.
"""
