"""Built-in queries as data, one file per family of exporters.

To add a query: write its text with ``$(scope)`` inside every selector, put it into the table of
``twinops.adapters.prometheus.catalogue``, and add a case with the exporter's real output to the tests. A new metric
also needs its row in ``twinops.metric_definitions``.

Rules that all of them keep: one series as result; rates over ``$(window)``, which are right across counter
resets; throughput and connections as totals over all pods, which is demand whatever the number of pods;
latency in milliseconds at the 95th percentile, and no result while there is no traffic; errors as a share of
0..1, and 0 while there is no traffic, since nothing failed then. A mean over pods says in ``Query.pods`` how
they are counted.
"""
