"""The part-state network as the pipeline's stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.geometry import Crop
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.types import Array, Detections, Frame, ModelFacts, Parts, PartStates
from parsing.vocabulary import Vocabulary
from parsing.weights import load_weights, read_header, sha256_of, weights_path


@config
class PartStateNetConfig:
    """Options of the part-state network at run time; `batch_size` counts persons."""

    name: Literal["part_state_net"]
    weights: str = "default/part_states"
    batch_size: Annotated[int, Field(ge=1)] = 16

    def build(self, device: str) -> PartStateStage:
        network, vocabulary = load_part_state_net(self.weights, device)
        stage = PartStateStage(network, vocabulary, device, self.batch_size)
        stage.facts = ModelFacts("part_states", self.name, sha256_of(self.weights), json.dumps(asdict(self)))
        return stage


def load_part_state_net(weights: str, device: str) -> tuple[PartStateNet, Vocabulary]:
    """The network that a weights file describes, ready to run, and the vocabulary it was trained for.

    Raises:
        InputError: the file is not of this component, or its header is not whole.
    """
    header, path = read_header(weights, "part_state_net"), weights_path(weights)
    architecture = parse_config(PartStateArchitecture, header.architecture, str(path))
    try:
        vocabulary = Vocabulary.from_json(header.labels)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: its vocabulary cannot be read ({error})") from None
    network = PartStateNet(architecture, torch.from_numpy(vocabulary.allowed), len(vocabulary.actions))
    load_weights(network, weights)
    return network.eval().to(device), vocabulary


class PartStateStage:
    """States of the visible parts of every person, from crops that run together."""

    facts = ModelFacts("part_states", "part_state_net", None, "{}")

    def __init__(self, network: PartStateNet, vocabulary: Vocabulary, device: str, batch_size: int) -> None:
        self.network, self.vocabulary, self.device, self.batch_size = network, vocabulary, device, batch_size

    def __call__(
        self, frames: Sequence[Frame], persons: Sequence[Detections], parts: Sequence[Parts], actions: Array | None
    ) -> list[PartStates]:
        columns = zip(frames, persons, parts, strict=True)
        return [PartStates(self._of_frame(frame, found, boxes, actions)) for frame, found, boxes in columns]

    def _of_frame(self, frame: Frame, persons: Detections, parts: Parts, actions: Array | None) -> Array:
        """(N, P, S) scores; batches do not reach across frames, so that results do not depend on their number."""
        rows = [np.zeros((0, len(self.vocabulary.parts), len(self.vocabulary.states)), np.float32)]
        for start in range(0, len(persons), self.batch_size):
            chunk = np.arange(start, min(start + self.batch_size, len(persons)))
            rows.append(self._score(frame, persons.select(chunk), parts.select(chunk), actions))
        return np.concatenate(rows)

    @torch.inference_mode()
    def _score(self, frame: Frame, persons: Detections, parts: Parts, actions: Array | None) -> Array:
        a = self.network.architecture
        crops = [Crop.around(box, a.input_px, a.context) for box in persons.xyxy]
        pixels = np.stack([crop.pixels(frame.image) for crop in crops])
        boxes = np.stack([crop.to_crop(row) for crop, row in zip(crops, parts.xyxy, strict=True)])
        images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
        known = None if actions is None else torch.as_tensor(actions, dtype=torch.float32, device=self.device).expand(len(crops), -1)
        shown = torch.from_numpy(parts.visible).to(self.device)
        logits = self.network(images, torch.from_numpy(boxes).float().to(self.device), shown, known)
        return np.asarray((logits.sigmoid() * shown[..., None]).cpu().numpy())
