"""Clips with several labels: TinyVIRAT-v2's files, metrics, thresholds, groups, answers, saved scores and their ensembles."""
