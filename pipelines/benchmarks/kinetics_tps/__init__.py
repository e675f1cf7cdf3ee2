"""Kinetics-TPS: submissions and the official score."""
