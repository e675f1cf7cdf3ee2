#!/usr/bin/env python3
"""Outputs of mmdet's detectors for seeded weights and one seeded image, which the parity tests compare with.

    make .venv-openmmlab/installed && .venv-openmmlab/bin/python scripts/make_mmdet_fixtures.py

Writes tests/data/mmdet_NAME.npz: names and shapes of mmdet's tensors, samples of the outputs of its modules, and the
final boxes. The weights themselves follow from their names (tests/seeded.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from parsing.networks.openmmlab import stand_in_for_imgaug

stand_in_for_imgaug()

import mmdet
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from seeded import sample, seeded_image, seeded_tensor

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
IMAGE_HW = (192, 256)
COMPUTED = ("relative_position_index", "project")  # follow from the architecture
SWIN_T = {
    "_delete_": True, "type": "SwinTransformer", "embed_dims": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24],
    "window_size": 7, "mlp_ratio": 4, "qkv_bias": True, "drop_path_rate": 0.0, "patch_norm": True, "out_indices": (0, 1, 2, 3),
}  # fmt: skip


def swin(config: Config) -> Config:
    """mmdet ships no Cascade R-CNN with Swin: its own backbone and channels in the ResNet config."""
    config.merge_from_dict({"model": {"backbone": SWIN_T, "neck": {"in_channels": [96, 192, 384, 768]}}})
    return config


def seeded_models() -> Iterator[tuple[str, torch.nn.Module]]:
    """mmdet's detectors by the name of what they convert to, filled with weights that follow from their names."""
    register_all_modules()
    for target, config in (
        ("cascade_rcnn_r50", Config.fromfile(CONFIGS / "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py")),
        ("cascade_rcnn_swin_t", swin(Config.fromfile(CONFIGS / "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py"))),
        ("retinanet_r50", Config.fromfile(CONFIGS / "retinanet/retinanet_r50_fpn_1x_coco.py")),
        ("gfl_x101_32x4d", Config.fromfile(CONFIGS / "gfl/gfl_x101-32x4d_fpn_ms-2x_coco.py")),
    ):
        config.model.backbone.init_cfg = None
        model = MODELS.build(config.model).eval()
        names = [name for name in model.state_dict() if not name.endswith(COMPUTED)]
        shapes = {name: tuple(model.state_dict()[name].shape) for name in names}
        filled = {name: torch.from_numpy(np.asarray(seeded_tensor(name, shape))) for name, shape in shapes.items()}
        model.load_state_dict(filled, strict=False)
        yield target, model


@torch.no_grad()
def write_fixture(target: str, model: torch.nn.Module) -> None:
    image = torch.from_numpy(seeded_image(*IMAGE_HW)).permute(2, 0, 1)
    meta = {"img_shape": IMAGE_HW, "ori_shape": IMAGE_HW, "pad_shape": IMAGE_HW, "scale_factor": (1.0, 1.0), "batch_input_shape": IMAGE_HW}
    inputs = {"inputs": [image.flip(0)], "data_samples": [DetDataSample(metainfo=meta)]}  # BGR in, as mmdet reads
    data = model.data_preprocessor(inputs, False)
    levels = model.backbone(data["inputs"])
    pyramid = model.neck(levels)
    outputs = {f"backbone{i}": level for i, level in enumerate(levels)} | {f"pyramid{i}": level for i, level in enumerate(pyramid)}
    head = model.rpn_head if hasattr(model, "rpn_head") else model.bbox_head
    for name, maps in zip(("class", "box"), head(pyramid), strict=True):
        outputs |= {f"{name}{i}": level for i, level in enumerate(maps)}
    found = model.predict(data["inputs"], data["data_samples"])[0].pred_instances
    print(f"{target}: {len(found.scores)} boxes, scores {float(found.scores.min()):.3f} to {float(found.scores.max()):.3f}")
    arrays = {name: sample(value.numpy()) for name, value in outputs.items()}
    shapes = json.dumps({name: list(t.shape) for name, t in model.state_dict().items() if not name.endswith(COMPUTED)})
    np.savez_compressed(
        ROOT / "tests" / "data" / f"mmdet_{target}.npz", shapes=shapes, boxes=found.bboxes.numpy(), scores=found.scores.numpy(),
        labels=found.labels.numpy(), image_hw=IMAGE_HW, mmdet=mmdet.__version__, **arrays,
    )  # fmt: skip


def main() -> None:
    for target, model in seeded_models():
        write_fixture(target, model)


if __name__ == "__main__":
    main()
