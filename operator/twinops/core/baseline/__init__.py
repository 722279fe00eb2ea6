"""The learned baseline: what is normal for a metric at this hour, and when it is no longer normal.

One series goes through four stages, each a module of its own:

1. ``expectation``: an expected value from the metric's level and its daily and weekly shape;
2. ``statistics``: how large the deviation, the movement and the calm of the last minutes and hours are;
3. ``records``: each of them against the largest that this series has shown before;
4. ``alarms``: one threshold on that ratio, tracked to a budget of false alarms, and a hold-off.

``detectors`` computes all statistics and their records together. ``band`` keeps how large deviations were while no
alarm was active. ``learner`` joins the stages; ``estimate`` feeds them with the syncs of a twin. Everything is causal,
works on many series at once and keeps a fixed amount of memory. Pure like the rest of the core.
"""
