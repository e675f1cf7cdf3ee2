"""Tracks of persons against annotated ones, by the measures of MOTChallenge."""
