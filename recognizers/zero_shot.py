"""Actions by any list of labels, without training: CLIP, or a trained `actionclip`, compared with the labels' texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, cast

from pydantic import Field

from parsing.configs import config
from parsing.errors import InputError
from parsing.networks.hugging_face import folder_facts, model_folder
from parsing.networks.pieces import run_on
from parsing.networks.runtimes import Runtime
from parsing.networks.weights import sha256_of
from parsing.stages import ActionRecognizer
from recognizers.clips.test_views import View
from recognizers.labels import ActionLabels
from recognizers.networks.actionclip import PROMPTS, ActionCLIP, ClipFolder
from recognizers.video import VideoRecognizer, clip_pieces, load_recognizer

Label = Annotated[str, Field(min_length=1, max_length=300)]
Prompt = Annotated[str, Field(pattern=r"\{\}", max_length=300)]


@config
class ZeroShotConfig:
    """A recognizer of labels that are read as text.

    Args:
        clip: a CLIP model folder, or a model id of Hugging Face.
        labels: the actions, in words.
        weights: of `actionclip`, fine-tuned from that CLIP; its image encoder takes the place of the folder's.
        prompts: what is read of a label, which stands for `{}`; their mean counts.
        frames: of the window, one of each of as many segments; weights say their own.
        views: ways to look at the video, all averaged.
        allow_network: a model id may be fetched; without, nothing ever is.
        runtime: what computes the image encoder, see `parsing.networks.pieces`; `auto` is OpenVINO on CPUs, PyTorch on GPUs.
    """

    name: Literal["zero_shot"]
    clip: str
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=10_000)]
    weights: str = ""
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1, max_length=1000)] = PROMPTS
    frames: Annotated[int, Field(ge=1, le=256)] = 8
    views: Annotated[tuple[View, ...], Field(min_length=1)] = (View(),)
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 4
    allow_network: bool = False
    runtime: Runtime = "auto"

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels holds a name twice")

    def build(self, device: str) -> ActionRecognizer:
        folder = model_folder(self.clip, self.allow_network)
        clip = ClipFolder(folder)
        if self.weights:
            network = cast(ActionCLIP, load_recognizer("actionclip", self.weights, "cpu")[0])
        else:
            network = clip.architecture(self.frames).build(self.labels)
            clip.fill(network, self.labels)
        rows = clip.rows(self.labels, self.prompts)
        if rows.shape[1] != network.classifier.in_features:
            raise InputError(f"{self.weights}: compares in {network.classifier.in_features} dimensions, {folder} in {rows.shape[1]}")
        network.classifier.weight.data = rows
        runtime = run_on(network.eval().to(device), clip_pieces(network.architecture), self.runtime, device, name="zero_shot")
        facts = folder_facts("recognizer", replace(self, runtime=runtime), folder)
        if self.weights:
            facts = replace(facts, weights_sha256=sha256_of(self.weights))
        return VideoRecognizer(
            network, network.architecture, ActionLabels(self.labels), device, self.views, batch_size=self.batch_size, facts=facts
        )
