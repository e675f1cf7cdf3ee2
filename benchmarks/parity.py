#!/usr/bin/env python3
"""Largest differences of each converted network from mmdet: `python benchmarks/parity.py`.

Compares with the fixtures in tests/data, which scripts/make_mmdet_fixtures.py writes; mmdet itself is not needed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from parity import NMS_IOU, differences

COLUMNS = ("backbone", "pyramid", "class", "box", "boxes_px", "scores")
print(f"{'network':<22} " + " ".join(f"{column:>9}" for column in COLUMNS))
for target in NMS_IOU:
    row = differences(target)
    print(f"{target:<22} " + " ".join(f"{row[column]:>9.1e}" for column in COLUMNS))
