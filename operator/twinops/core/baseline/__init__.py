"""The learned baseline: the values expected of a metric at each time, and alarms on unusual ones.

A series goes through four stages, each a module of its own:

1. ``expectation``: an expected value from the metric's level and its daily and weekly shape;
2. ``statistics``: the size of deviations, of movement and of a lack of movement over the last minutes and hours;
3. ``records``: the ratio of each of them to the largest size of this series so far;
4. ``alarms``: one threshold on that ratio, controlled to a budget of false alarms, and a hold-off.

``detectors`` computes all statistics and their records together. ``band`` keeps the largest deviations
while no alarm was active. ``learner`` combines the stages; ``estimate`` applies them to the syncs of a twin. Everything
is causal, works on many series at once and uses a fixed amount of memory. Pure like the rest of the core.
"""
