"""TSM as the pipeline's recognizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from pydantic import Field

from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.types import Array, Frame, ModelFacts
from parsing.weights import load_weights, read_header, sha256_of, weights_path
from recognizers.networks.tsm import TSM, TSMArchitecture
from recognizers.sampling import segment_frames

MOST_ASPECT = 4 / 3


@config
class TSMConfig:
    """Options of TSM at run time; `num_clips` clips of a video are averaged."""

    name: Literal["tsm"]
    weights: str = "default/recognizer"
    num_clips: Annotated[int, Field(ge=1)] = 2

    def build(self, device: str) -> TSMRecognizer:
        network, actions = load_tsm(self.weights, device)
        stage = TSMRecognizer(network, actions, device, self.num_clips)
        stage.facts = ModelFacts("recognizer", self.name, sha256_of(self.weights), json.dumps(asdict(self)))
        return stage


def load_tsm(weights: str, device: str) -> tuple[TSM, tuple[str, ...]]:
    """The network that a weights file describes, ready to run, and its action names.

    Raises:
        InputError: the file is not of this component, or its header is not whole.
    """
    header, path = read_header(weights, "tsm"), weights_path(weights)
    architecture = parse_config(TSMArchitecture, header.architecture, str(path))
    actions = header.labels.get("actions")
    if not isinstance(actions, list) or not all(isinstance(name, str) for name in actions):
        raise InputError(f"{path}: header lists no actions")
    network = TSM(architecture, len(actions))
    load_weights(network, weights)
    return network.eval().to(device), tuple(actions)


class TSMRecognizer:
    """Scores of a whole video: the mean logits of its clips, then softmax (averaging before it, as the VIPriors report does)."""

    facts = ModelFacts("recognizer", "tsm", None, "{}")

    def __init__(self, network: TSM, action_names: tuple[str, ...], device: str, num_clips: int) -> None:
        self.network, self.action_names, self.device, self.num_clips = network, action_names, device, num_clips

    def sample(self, num_frames: int) -> list[Array]:
        """Frame indices of each clip, (T,) each."""
        a = self.network.architecture
        return segment_frames(num_frames, a.num_segments, self.num_clips, a.snippet, a.step)

    @torch.inference_mode()
    def __call__(self, clips: Sequence[Sequence[Frame]]) -> Array:
        """(A,) probabilities of one video."""
        size = self.network.architecture.input_px
        pixels = np.stack([[squeeze(frame.image, size) for frame in clip] for clip in clips])
        inputs = torch.from_numpy(pixels).to(self.device).permute(0, 1, 4, 2, 3).float() / 255
        return np.asarray(self.network(inputs).mean(0).softmax(0).cpu().numpy())


def squeeze(image: Array, size: int) -> Array:
    """(size, size, 3) of an (H, W, 3) image: its middle, at most 4:3 or 3:4, scaled to a square.

    Surveillance cameras show what matters anywhere in the frame: a mild squeeze costs less than a square crop.
    """
    height, width = image.shape[:2]
    crop_h, crop_w = min(height, round(width * MOST_ASPECT)), min(width, round(height * MOST_ASPECT))
    top, left = (height - crop_h) // 2, (width - crop_w) // 2
    window = image[top : top + crop_h, left : left + crop_w]
    shrinks = min(crop_h, crop_w) > size
    return np.asarray(cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
