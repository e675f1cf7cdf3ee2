#!/usr/bin/env python3
"""Largest differences of each converted network from its reference: `python benchmarks/parity.py [detectors|recognizers]`.

Compares with the fixtures in tests/data, which scripts/make_*_fixtures.py write; the reference libraries are not needed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from parity import NMS_IOU, differences
from video_parity import FIXTURES, difference, library_and_target

COLUMNS = ("backbone", "pyramid", "class", "box", "boxes_px", "scores")


def detectors() -> None:
    print(f"{'network':<22} " + " ".join(f"{column:>9}" for column in COLUMNS))
    for target in NMS_IOU:
        row = differences(target)
        print(f"{target:<22} " + " ".join(f"{row[column]:>9.1e}" for column in COLUMNS))


def recognizers() -> None:
    print(f"{'library':<14} {'network':<22} logits")
    for fixture in FIXTURES:
        library, target = library_and_target(fixture)
        print(f"{library:<14} {target:<22} {difference(fixture):.1e}")


STAGES = {"detectors": detectors, "recognizers": recognizers}
for stage in sys.argv[1:] or STAGES:
    STAGES[stage]()
