"""Stages that look up instead of compute: ground truth (`oracle`) and saved parses (`replay`)."""
