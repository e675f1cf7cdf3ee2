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
    turns = compare(arguments.videos, arguments.frames, arguments.persons, arguments.workers, arguments.turns)
    ratios = [slow_s / fast_s for fast_s, slow_s in turns]
    fast_s, slow_s = (median(side) for side in zip(*turns, strict=True))
    print(
        f"{fast_s:.2f} s with {arguments.workers} processes, plain loop {slow_s:.1f} s: {median(ratios):.1f} times faster, "
        f"the median of {len(ratios)} turns from {min(ratios):.1f} to {max(ratios):.1f}"
    )


def compare(videos: int, frames: int, persons: int, workers: int | None, turns: int) -> list[tuple[float, float]]:
    """Seconds of the score and of the plain loop in each turn; both must give the same score."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, f"{one}.json") for one in NAMES]
        for path, value in zip(files, plain.random_results(0, videos, frames, persons), strict=True):
            path.write_text(json.dumps(value))

        def fast() -> float:
            return float(evaluate(read_truth(Path(name)), read_results(*files[2:]), workers=workers)["score"])

        def slow() -> float:
            return plain.score(*(json.loads(path.read_text()) for path in files))

        found = [(timed(fast), timed(slow)) for _ in range(turns)]
    (score, _), (expected, _) = found[0]
    if abs(score - expected) > 1e-9:
        raise SystemExit(f"score {score:.9f}, plain {expected:.9f}, expected the same")
    return [(fast_s, slow_s) for (_, fast_s), (_, slow_s) in found]


def timed(call: Callable[[], float]) -> tuple[float, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


if __name__ == "__main__":
    main()
