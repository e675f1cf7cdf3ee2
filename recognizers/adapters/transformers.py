"""Video classifiers of Hugging Face's transformers, from model folders: TimeSformer, VideoMAE, ViViT, V-JEPA 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from parsing.batching import BatchSize
from parsing.configs import config
from parsing.errors import InputError
from parsing.networks.hugging_face import folder_facts, load_model, model_folder
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame, ModelFacts
from parsing.vocabulary import read_list
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.labels import ActionLabels, check_background

MAX_FRAMES = 1024  # of a clip


@config
class TransformersRecognizerConfig:
    """Any video classifier that `AutoModelForVideoClassification` knows.

    Args:
        weights: a model folder, or a model id of Hugging Face.
        sampler: `uniform` takes one frame of each segment of the window; `dense` every `interval`-th frame in a row.
        clips: averaged over, before the softmax.
        classes: file with the names of the classes, one a line; None takes those of the folder.
        background: classes that compete with the actions and are never reported as one.
        allow_network: a model id may be fetched; without, nothing ever is.
    """

    name: Literal["transformers"]
    weights: str
    sampler: Sampler = "uniform"
    interval: Annotated[int, Field(ge=1, le=1000)] = 4
    clips: Annotated[int, Field(ge=1, le=256)] = 1
    classes: str | None = None
    background: tuple[str, ...] = ()
    allow_network: bool = False

    def build(self, device: str) -> ActionRecognizer:
        folder = model_folder(self.weights, self.allow_network)
        model, processor = load_model(folder, "AutoModelForVideoClassification", "AutoVideoProcessor", device)
        settings: Any = model.config
        frames = getattr(settings, "num_frames", None) or settings.frames_per_clip
        if not 1 <= frames <= MAX_FRAMES:
            raise InputError(f"{folder / 'config.json'}: clips of {frames} frames, expected 1 to {MAX_FRAMES}")
        names = action_names(settings.id2label, self.classes, folder)
        multi_label = settings.problem_type == "multi_label_classification"
        try:
            check_background(self.background, names, multi_label)
        except ValueError as error:
            raise InputError(f"{folder}: {error}") from None
        sampling = clip_sampling(self.sampler, frames, self.interval)
        labels = ActionLabels(names, multi_label, background=self.background)
        return TransformersRecognizer(model, processor, labels, sampling, self.clips, device, folder_facts("recognizer", self, folder))


def action_names(id2label: Mapping[int, str], classes: str | None, folder: Path) -> tuple[str, ...]:
    """Names in the order of the classes.

    Raises:
        InputError: the folder names none, or a name twice, and no file does; or the file names more or fewer.
    """
    own = tuple(id2label.get(i, "") for i in range(len(id2label)))
    names = own if classes is None else read_list(Path(classes))
    if len(names) != len(own):
        raise InputError(f"{classes}: {len(names)} names for the {len(own)} classes of {folder}")
    if len(set(names)) < len(names) or names[0] == "LABEL_0":
        raise InputError(f"{folder}: has no names of its own for its {len(own)} classes; give `classes`, a file of one a line")
    return names


class TransformersRecognizer:
    """A network behind its own processor; the logits of its clips are averaged."""

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        labels: ActionLabels,
        sampling: Sampling,
        num_clips: int,
        device: str,
        facts: ModelFacts = ModelFacts("recognizer", "transformers", None, "{}"),
    ) -> None:
        self.model, self.processor, self.device = model, processor, device
        self.sampling, self.num_clips, self.batches = sampling, num_clips, BatchSize("recognizer", 4)
        self.labels, self.action_names, self.multi_label, self.background = labels, labels.names, labels.multi_label, labels.background
        self.models: tuple[ModelFacts, ...] = (facts,)
        self.least_frames = sampling.clip_frames // 2 + 1  # as of all video networks

    def clips(self, num_frames: int) -> list[Array]:
        """(T,) places of the frames of each clip that the network sees."""
        return self.sampling.for_test(num_frames, self.num_clips)

    def indices(self, num_frames: int) -> Array:
        """(K,) sorted places of all frames that the network sees."""
        return np.unique(np.concatenate(self.clips(num_frames)))

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        """Scores of one video or window."""
        clips = [np.stack([frames[int(i)].image for i in clip]) for clip in self.clips(num_frames)]
        logits = torch.stack(self.batches.map(self._logits, clips)).mean(0)
        probabilities = self.labels.probabilities(logits).numpy().clip(0, 1)
        background = [self.action_names.index(name) for name in self.background]
        return ActionScores.of(probabilities, self.multi_label, self.models, background)

    @torch.inference_mode()
    def _logits(self, clips: Sequence[Array]) -> list[torch.Tensor]:
        """(A,) of each of some clips (T, H, W, 3)."""
        inputs = self.processor(videos=list(clips), do_sample_frames=False, return_tensors="pt").to(self.device)
        return list(self.model(**inputs).logits.float().cpu())
