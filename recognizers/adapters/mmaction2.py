"""Any mmaction2 recognizer as recognizer, by its own test pipeline's sampling and preprocessing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
from pydantic import Field

from parsing.configs import config
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.networks.openmmlab import fill, read_config
from parsing.networks.weights import model_facts
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame, ModelFacts
from parsing.vocabulary import read_list
from recognizers.clips.frame_sampling import Dense, Sampling, Segments


@config
class MMActionConfig:
    """An mmaction2 recognizer.

    Args:
        config: name of a config that mmaction2 ships (`recognition/tsm/….py`), or a YAML or JSON dump.
        weights: its checkpoint, tensors only.
        classes: file with the class names in the model's order, one a line.
        clips: of dense clips; None takes those of the config's test pipeline.
    """

    name: Literal["mmaction2"]
    config: str
    weights: str
    classes: str
    clips: Annotated[int, Field(ge=1, le=256)] | None = None

    def build(self, device: str) -> ActionRecognizer:
        facts = model_facts("recognizer", self, self.weights)
        return MMActionRecognizer(self.config, self.weights, read_list(Path(self.classes)), self.clips, device, facts)


class MMActionRecognizer:
    """The model behind its own data preprocessor; one centre crop a clip."""

    multi_label = False
    background: tuple[str, ...] = ()

    def __init__(self, config_name: str, weights: str, actions: tuple[str, ...], clips: int | None, device: str, facts: ModelFacts) -> None:
        settings = read_config(config_name, "mmaction")
        stand_in_for_what_the_wheel_lacks()
        registry, utilities = import_extra("mmaction.registry", "openmmlab"), import_extra("mmaction.utils", "openmmlab")
        self._samples = import_extra("mmaction.structures", "openmmlab").ActionDataSample
        utilities.register_all_modules()
        settings.model.backbone.pretrained = None
        settings.model.cls_head.average_clips = "prob"
        self.model = registry.MODELS.build(settings.model).eval()
        fill(self.model, weights)
        self.model.to(device)
        self.action_names = actions
        self.models: tuple[ModelFacts, ...] = (facts,)
        count = int(self.model.cls_head.num_classes)
        if len(actions) != count:
            raise InputError(f"{config_name}: {count} classes, but {len(actions)} names were given")
        steps = {step["type"]: step for step in settings.test_pipeline}
        sampler = steps["SampleFrames"]
        dense = sampler["clip_len"] > 1
        self.sampling: Sampling = Dense(sampler["clip_len"], sampler["frame_interval"]) if dense else Segments(sampler["num_clips"])
        self.num_clips = (clips or sampler["num_clips"]) if dense else 1
        self.frame_wise = steps["FormatShape"]["input_format"] == "NCHW"
        self.short_side, self.crop_px = _sizes(settings.test_pipeline)
        self.least_frames = len(self.clips(1)[0]) // 2 + 1

    def clips(self, num_frames: int) -> list[Array]:
        """(T,) places of the frames of each clip that the model sees."""
        return self.sampling.for_test(num_frames, self.num_clips)

    def indices(self, num_frames: int) -> Array:
        """(K,) sorted places of all frames that the model sees."""
        return np.unique(np.concatenate(self.clips(num_frames)))

    @torch.inference_mode()
    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        """Scores of one video, the mean over clips."""
        pixels = np.stack([[self._crop(frames[int(i)].image) for i in clip] for clip in self.clips(num_frames)])
        layout = (0, 1, 4, 2, 3) if self.frame_wise else (0, 4, 1, 2, 3)
        inputs = torch.from_numpy(pixels).permute(*layout)
        batch = {"inputs": [inputs.flatten(0, 1) if self.frame_wise else inputs], "data_samples": [self._samples()]}
        data = self.model.data_preprocessor(batch, False)
        (found,) = self.model(**data, mode="predict")
        return ActionScores.of(np.asarray(found.pred_score.float().cpu().numpy()).clip(0, 1), self.multi_label, self.models)

    def _crop(self, image: Array) -> Array:
        height, width = image.shape[:2]
        scale = self.short_side / min(height, width)
        size = max(self.crop_px, round(width * scale)), max(self.crop_px, round(height * scale))
        resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        top, left = (resized.shape[0] - self.crop_px) // 2, (resized.shape[1] - self.crop_px) // 2
        return np.asarray(resized[top : top + self.crop_px, left : left + self.crop_px])


def _sizes(pipeline: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Short side to resize to, and side of the crop."""
    crop = next((int(np.min(step["crop_size"])) for step in pipeline if "crop_size" in step), 224)
    scale = next((max(step["scale"]) for step in pipeline if step["type"] == "Resize" and min(step["scale"]) < 0), crop)
    return int(scale), crop


def stand_in_for_what_the_wheel_lacks() -> None:
    """Make mmaction2 importable: its wheel leaves out `localizers.drn`, and it refuses every mmcv from 2.2 on.

    Call it before the first import of `mmaction`. No recognizer uses either.
    """
    import_extra("mmcv", "openmmlab").__version__ = "2.1.0"  # type: ignore[attr-defined]
    package, module = ModuleType("mmaction.models.localizers.drn"), ModuleType("mmaction.models.localizers.drn.drn")
    module.DRN = type("DRN", (), {})  # type: ignore[attr-defined]
    package.drn = module  # type: ignore[attr-defined]
    sys.modules.setdefault(package.__name__, package)
    sys.modules.setdefault(module.__name__, module)
