#!/usr/bin/env python3
"""Memory and speed of video super-resolution.

    python benchmarks/super_resolution.py [--weights FILE] [--basicsr DIR] [--size 64] [--frames 20] [--repeats 3]

Memory: peak of x4 super-resolution of 300 frames of 128 x 128 px beside that of 60, each in a process of its own that keeps
no result. Speed: a clip all at once against frame by frame, which runs the same network on clips of one frame; and, with the
folder that scripts/make_superres_fixtures.py uses, against basicsr's BasicVSR with the same weights. Runs alternate, and a
ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]

from make_superres_fixtures import fill_seeded, references, use_libraries

from parsing.types import Array, ModelFacts
from recognizers.superres.basicvsr import BasicVSRArchitecture
from recognizers.superres.chunks import Chunking
from recognizers.superres.conversion import convert
from recognizers.superres.networks import load_network
from recognizers.superres.resolver import SuperResolver
from recognizers.superres.video import run_network

LENGTHS, SIDE_PX = (60, 300), 128
# As configs/super_resolution/compact.yaml, but x4.
ARCHITECTURE = BasicVSRArchitecture(channels=32, blocks=4, hr_channels=24, flow_levels=3, flow_channels=(16, 16, 8), base="bicubic")


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and speed of video super-resolution.")
    parser.add_argument("--weights", metavar="FILE", help="of a basicvsr; default: a new network, as time does not depend on weights")
    parser.add_argument("--basicsr", type=Path, metavar="DIR", help="folder with basicsr and mmagic")
    parser.add_argument("--size", type=int, default=64, help="side of the small clip for speed (default: 64)")
    parser.add_argument("--frames", type=int, default=20, help="of the clip for speed (default: 20)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return use_memory(arguments.one)
    peaks = [peak_mib(length) for length in LENGTHS]
    for length, peak in zip(LENGTHS, peaks, strict=True):
        print(f"{length:>4} frames of {SIDE_PX} x {SIDE_PX} px, x4: {peak:.0f} MiB")
    print(f"ratio {peaks[1] / peaks[0]:.3f}")
    frames = clip(arguments.frames, arguments.size)
    network = load_network("basicvsr", arguments.weights, "cpu")[0] if arguments.weights else ARCHITECTURE.build().eval()
    one_by_one = [frames[i : i + 1] for i in range(len(frames))]
    compare(
        "all at once / frame by frame",
        lambda: run_network(network, frames, "cpu"),
        lambda: [run_network(network, frame, "cpu") for frame in one_by_one],
        arguments.repeats,
    )
    if arguments.basicsr:
        against_basicsr(arguments.basicsr, frames, arguments.repeats)
    return None


def against_basicsr(folder: Path, frames: Array, repeats: int) -> None:
    use_libraries(folder)
    _, build, small, _ = next(references())
    reference = fill_seeded(build(**small))
    ours = convert(reference.state_dict(), "basicsr", "basicvsr_x4", folder, {"blocks": small["num_block"]})
    a, b = (run_network(network, frames, "cpu").astype(int) for network in (ours, reference))
    print(f"largest difference from basicsr: {np.abs(a - b).max()} of 255")
    compare("ours / basicsr", partial(run_network, ours, frames, "cpu"), partial(run_network, reference, frames, "cpu"), repeats)


def compare(title: str, first: Callable[[], object], second: Callable[[], object], repeats: int) -> None:
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):  # the first turn warms up
        for run, found in zip((first, second), times, strict=True):
            started = time.perf_counter()
            run()
            if turn:
                found.append(time.perf_counter() - started)
    middle = [median(found) for found in times]
    print(f"{title}: {middle[0]:.2f} s / {middle[1]:.2f} s = {middle[0] / middle[1]:.2f}")


def clip(frames: int, side: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, (frames, side, side, 3), np.uint8)


def use_memory(length: int) -> None:
    torch.manual_seed(0)
    network = ARCHITECTURE.build().eval()
    facts = ModelFacts("super_resolution", "basicvsr", None, "{}")
    resolver = SuperResolver(partial(run_network, network, device="cpu"), 4, facts, Chunking())
    done = sum(len(part) for part in resolver.parts(clip(length, SIDE_PX)))
    assert done == length


def peak_mib(length: int) -> float:
    process = subprocess.Popen([sys.executable, __file__, "--one", str(length)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{length} frames: the process ended with status {status}")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
