"""Measurements; each command writes its own section of ``docs/benchmarks.md``."""
