"""Benchmarks on real series. They need the data folder, and say where to get it when it is not there."""
