"""How well the learned baseline finds anomalies, by the rule of the Numenta Anomaly Benchmark.

Run it with ``python -m benchmarks.drift [DATA=folder] [JSON=file]`` from the root of the project.

- ``series`` reads files and labels;
- ``nab`` is the scoring rule, ``budget`` the windows found at a budget of alarm-hours;
- ``detectors`` are the product and its peers; ``report`` scores them all and writes table and JSON.
"""
