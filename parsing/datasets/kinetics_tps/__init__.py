"""The Kinetics-TPS benchmark: its annotations, results, score and submissions."""
