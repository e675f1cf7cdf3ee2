"""How much faster the Kinetics-TPS score is computed than by a plain loop over boxes, both from the files, turn by turn.

python benchmarks/kinetics_tps.py            # 900 videos x 60 frames x 3 persons; making them takes a minute
python benchmarks/kinetics_tps.py --videos 90
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

import plain_kinetics_tps as plain

from parsing.datasets.kinetics_tps.results import read_results, read_truth
from pipelines.benchmarks.kinetics_tps.score import evaluate

NAMES = "gt_part_result", "gt_vid_result", "pred_part_result", "pred_vid_result"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=900)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--persons", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
<<<<<<< Updated upstream
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, f"{one}.json") for one in NAMES]
        write(files, arguments)

        def fast() -> float:
            report = evaluate(read_truth(Path(name)), read_results(*files[2:]), workers=arguments.workers)
            return float(report["score"])

        def slow() -> float:
            return plain.score(*(json.loads(path.read_text()) for path in files))

        turns = [(timed(fast), timed(slow)) for _ in range(arguments.turns)]
    (score, _), (expected, _) = turns[0]
    ratios = [slow_s / fast_s for (_, fast_s), (_, slow_s) in turns]
    print(f"score {score:.6f}, plain {expected:.6f}, difference {abs(score - expected):.1e}")
    seconds = [median(turn[side][1] for turn in turns) for side in (0, 1)]
    print(
        f"{seconds[0]:.2f} s with {arguments.workers} processes, plain loop {seconds[1]:.1f} s: {median(ratios):.1f} times faster, "
        f"the median of {len(ratios)} turns from {min(ratios):.1f} to {max(ratios):.1f}"
    )


def write(files: list[Path], arguments: argparse.Namespace) -> None:
    for path, value in zip(files, plain.random_results(0, arguments.videos, arguments.frames, arguments.persons), strict=True):
        path.write_text(json.dumps(value))


def timed(call: Callable[[], float]) -> tuple[float, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started
=======
    fast, slow = compare(arguments.videos, arguments.frames, arguments.persons, arguments.workers)
    print(f"{fast:.2f} s with {arguments.workers} processes, plain loop {slow:.1f} s: {slow / fast:.1f} times faster")


def compare(num_videos: int, num_frames: int, num_persons: int, workers: int | None) -> tuple[float, float]:
    """Seconds of the score and of the plain loop, whose results must be the same."""
    true, actions, said, guesses = plain.random_results(0, num_videos, num_frames, num_persons)
    sides = Results(true, actions, Path("truth"), Path("truth")), Results(said, guesses, Path("found"), Path("found"))
    started = time.perf_counter()
    report = evaluate(*sides, workers=workers)
    fast = time.perf_counter() - started
    started = time.perf_counter()
    expected = plain.score(true, actions, said, guesses)
    slow = time.perf_counter() - started
    if abs(report["score"] - expected) > 1e-9:
        raise SystemExit(f"score {report['score']:.6f}, plain {expected:.6f}")
    return fast, slow
>>>>>>> Stashed changes


if __name__ == "__main__":
    main()
