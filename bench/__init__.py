"""Measurements, by subject; ``README.md`` lists them."""
