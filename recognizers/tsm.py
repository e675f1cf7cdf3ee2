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
from recognizers.network import TSM, TSMArchitecture
from recognizers.sampling import segment_frames


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
        return segment_frames(num_frames, self.network.architecture.num_segments, self.num_clips)

    @torch.inference_mode()
    def __call__(self, clips: Sequence[Sequence[Frame]]) -> Array:
        """(A,) probabilities, from the centre squares of the frames."""
        size = self.network.architecture.input_px
        pixels = np.stack([[centre_square(frame.image, size) for frame in clip] for clip in clips])
        inputs = torch.from_numpy(pixels).to(self.device).permute(0, 1, 4, 2, 3).float() / 255
        return np.asarray(self.network(inputs).mean(0).softmax(0).cpu().numpy())


def centre_square(image: Array, size: int) -> Array:
    """(size, size, 3) of an (H, W, 3) image: its largest centre square, scaled."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    shrinks = side > size
    square = image[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
