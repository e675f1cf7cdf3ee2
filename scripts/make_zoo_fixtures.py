#!/usr/bin/env python3
"""Names and shapes of what OpenMMLab's own models save, for the entries of the zoo whose outputs no other fixture compares.

    make .venv-openmmlab/installed && .venv-openmmlab/bin/python scripts/make_zoo_fixtures.py

Writes tests/data/zoo_layouts.json.gz: entry -> tensor -> shape, as the config that the entry was trained with builds it.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]
from parsing.networks.openmmlab import stand_in_for_imgaug
from parsing.networks.zoo import Entry, entries
from recognizers.adapters.mmaction2 import stand_in_for_what_the_wheel_lacks

stand_in_for_imgaug()
stand_in_for_what_the_wheel_lacks()

import mmaction
import mmdet
from mmengine.config import Config

COMPUTED = ("relative_position_index", "num_batches_tracked")
MMDET = {  # what mmdet calls the configs today
    "cascade_rcnn_r101_fpn_1x_coco": "cascade_rcnn/cascade-rcnn_r101_fpn_1x_coco.py",
    "cascade_rcnn_x101_32x4d_fpn_1x_coco": "cascade_rcnn/cascade-rcnn_x101-32x4d_fpn_1x_coco.py",
    "gfl_r50_fpn_1x_coco": "gfl/gfl_r50_fpn_1x_coco.py",
    "gfl_r50_fpn_mstrain_2x_coco": "gfl/gfl_r50_fpn_ms-2x_coco.py",
}


def model_of(entry: Entry) -> Any:
    """The model that an entry's own config builds, untrained."""
    if entry.origin == "mmdet":
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules

        path = configs(mmdet) / MMDET[entry.name]
    else:
        from mmaction.registry import MODELS
        from mmaction.utils import register_all_modules

        path = next(configs(mmaction).glob(f"recognition/*/{entry.name}.py"))
    register_all_modules()
    config = Config.fromfile(path)
    config.model.backbone.update({"init_cfg": None} if entry.origin == "mmdet" else {"pretrained": None})
    return MODELS.build(config.model)


def configs(package: Any) -> Path:
    return Path(package.__file__).parent / ".mim" / "configs"


def main() -> None:
    layouts = {}
    for entry in entries().values():
        if entry.checked == "layout":
            tensors = model_of(entry).state_dict()
            layouts[entry.name] = {name: list(tensor.shape) for name, tensor in tensors.items() if not name.endswith(COMPUTED)}
            print(entry.name, len(layouts[entry.name]), flush=True)
    path = ROOT / "tests" / "data" / "zoo_layouts.json.gz"
    path.write_bytes(gzip.compress(json.dumps(layouts, separators=(",", ":")).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
