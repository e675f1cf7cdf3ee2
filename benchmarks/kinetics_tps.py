"""How much faster the Kinetics-TPS score is computed than by a plain loop over boxes, both from decoded JSON.

python benchmarks/kinetics_tps.py            # 900 videos x 60 frames x 3 persons; the plain loop takes minutes
python benchmarks/kinetics_tps.py --videos 90
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

import plain_kinetics_tps as plain

from parsing.datasets.kinetics_tps.results import Results
from pipelines.benchmarks.kinetics_tps.score import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=900)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--persons", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    true, actions, said, guesses = plain.random_results(0, arguments.videos, arguments.frames, arguments.persons)
    sides = Results(true, actions, Path("truth"), Path("truth")), Results(said, guesses, Path("found"), Path("found"))
    started = time.perf_counter()
    report = evaluate(*sides, workers=arguments.workers)
    fast = time.perf_counter() - started
    started = time.perf_counter()
    expected = plain.score(true, actions, said, guesses)
    slow = time.perf_counter() - started
    print(f"score {report['score']:.6f}, plain {expected:.6f}, difference {abs(report['score'] - expected):.1e}")
    print(f"{fast:.2f} s with {arguments.workers} processes, plain loop {slow:.1f} s: {slow / fast:.0f} times faster")


if __name__ == "__main__":
    main()
