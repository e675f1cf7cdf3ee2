"""Metrics of all stages and their pictures."""
