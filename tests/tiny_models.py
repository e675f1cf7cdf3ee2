"""Model folders as transformers saves them, of tiny random networks of the real classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf

NAMES, ACTIONS = {0: "person", 1: "dog"}, {0: "run", 1: "walk", 2: "jump"}


def saved(folder: Path, model: Any, processor: Any) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def resnet(stages: list[str]) -> dict[str, Any]:
    return {"embedding_size": 8, "hidden_sizes": [8] * 4, "depths": [1] * 4, "layer_type": "basic", "out_features": stages}


def rt_detr_settings(backbone: Any) -> dict[str, Any]:
    return {
        "backbone_config": backbone, "encoder_hidden_dim": 16, "encoder_in_channels": [8] * 3, "encoder_ffn_dim": 16,
        "encoder_attention_heads": 2, "d_model": 16, "decoder_in_channels": [16] * 3, "num_queries": 10, "decoder_ffn_dim": 16,
        "decoder_layers": 2, "decoder_attention_heads": 2, "num_denoising": 0, "hidden_expansion": 0.5, "id2label": NAMES,
    }  # fmt: skip


def rt_detr(folder: Path) -> Path:
    settings = rt_detr_settings(hf.RTDetrResNetConfig(**resnet(["stage2", "stage3", "stage4"])))
    model = hf.RTDetrV2ForObjectDetection(hf.RTDetrV2Config(**settings))
    return saved(folder, model, hf.RTDetrImageProcessor(size={"height": 64, "width": 64}))


def d_fine(folder: Path) -> Path:
    channels = {f"stage_{kind}_channels": [8] * 4 for kind in ("in", "mid", "out")}
    stages = {"stage_num_blocks": [1] * 4, "stage_downsample": [False, True, True, True], "stage_light_block": [False] * 4}
    sizes = {"stage_kernel_size": [3] * 4, "stage_numb_of_layers": [1] * 4, "embedding_size": 8, "hidden_sizes": [8] * 4, "depths": [1] * 4}
    out = ["stage2", "stage3", "stage4"]
    backbone = hf.HGNetV2Config(stem_channels=[3, 8, 8], **channels, **stages, **sizes, out_features=out)
    model = hf.DFineForObjectDetection(hf.DFineConfig(**rt_detr_settings(backbone)))
    return saved(folder, model, hf.RTDetrImageProcessor(size={"height": 64, "width": 64}))


def rf_detr(folder: Path) -> Path:
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 56,
        "patch_size": 14,
    }
    backbone = hf.RfDetrDinov2Config(**sizes, num_windows=1, window_block_indexes=[0], out_features=["stage1", "stage2"])
    heads = {"decoder_self_attention_heads": 2, "decoder_cross_attention_heads": 2}
    rest = {"d_model": 16, "decoder_layers": 1, "decoder_ffn_dim": 16, "num_queries": 10, "group_detr": 1, "c2f_num_blocks": 1}
    model = hf.RfDetrForObjectDetection(hf.RfDetrConfig(backbone_config=backbone, **heads, **rest, id2label=NAMES))
    return saved(folder, model, hf.RfDetrImageProcessor(size={"height": 56, "width": 56}))


def detr(folder: Path, **settings: Any) -> Path:
    """All that it finds are persons in the middle quarter of the picture."""
    rest = {
        f"{side}_{what}": number
        for side in ("encoder", "decoder")
        for what, number in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
    }
    backbone = hf.ResNetConfig(**resnet(["stage4"]))
    model = hf.DetrForObjectDetection(hf.DetrConfig(backbone_config=backbone, d_model=16, num_queries=10, id2label=NAMES, **rest))
    for value in model.bbox_predictor.layers[-1].parameters():
        torch.nn.init.zeros_(value)
    model.class_labels_classifier.bias.data[:] = torch.tensor([9.0, 0, 0])
    saved(folder, model, hf.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}))
    change_config(folder, **settings)
    return folder


def vitpose(folder: Path, count: int = 17, experts: int = 1) -> Path:
    sizes = {"image_size": [64, 48], "patch_size": [16, 16], "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    backbone = hf.VitPoseBackboneConfig(**sizes, mlp_ratio=1, num_experts=experts, part_features=4 if experts > 1 else 0, out_indices=[1])
    model = hf.VitPoseForPoseEstimation(hf.VitPoseConfig(backbone_config=backbone, num_labels=count))
    return saved(folder, model, hf.VitPoseImageProcessor(size={"height": 64, "width": 48}))


SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "id2label": ACTIONS}
SQUARE = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def timesformer(folder: Path, **settings: Any) -> Path:
    config = hf.TimesformerConfig(num_frames=4, image_size=32, **{**SIZES, **settings})
    return saved(folder, hf.TimesformerForVideoClassification(config), hf.VideoMAEImageProcessor(**SQUARE))


def videomae(folder: Path) -> Path:
    config = hf.VideoMAEConfig(num_frames=4, image_size=32, **SIZES)
    return saved(folder, hf.VideoMAEForVideoClassification(config), hf.VideoMAEImageProcessor(**SQUARE))


def vivit(folder: Path) -> Path:
    config = hf.VivitConfig(num_frames=4, image_size=32, **SIZES)
    return saved(folder, hf.VivitForVideoClassification(config), hf.VivitImageProcessor(**SQUARE))


def vjepa2(folder: Path) -> Path:
    predictor = {"pred_hidden_size": 24, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2, "num_pooler_layers": 1}
    config = hf.VJEPA2Config(frames_per_clip=4, crop_size=32, **SIZES, **predictor)
    return saved(folder, hf.VJEPA2ForVideoClassification(config), hf.VJEPA2VideoProcessor(crop_size=32))


def change_config(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
