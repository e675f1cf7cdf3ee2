"""ActionCLIP (Wang et al. 2021): CLIP's image encoder over frames, compared with what its text encoder makes of the labels.

The embeddings of the labels are the rows of the classifier, so a trained network needs no text encoder. ActionCLIP trains that
one too; here the rows are trained in its place, as a classifier that starts from text (Wu et al., AAAI 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.networks.backbones import Pretrained
from parsing.networks.checkpoints import fill
from parsing.networks.hugging_face import load_model, model_folder
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import Normalise, no_images
from recognizers.networks.blocks import check_transformer, times

HEADS = 8  # of the temporal transformer
PROMPTS = ("{}", "a photo of {}", "a video of {}", "a person {}", "a photo of a person {}", "a video of a person {}")


@config
class ActionCLIPArchitecture:
    """What the network is made of; as it stands, CLIP ViT-B/16.

    Args:
        patch_px, width, depth, heads, activation: of CLIP's image encoder.
        joint_dim: width of the space in which images and texts are compared.
        temporal_depth: layers of a transformer over the frames' embeddings, which starts as nothing; 0 is their mean alone.
    """

    frames: Annotated[int, Field(ge=1, le=256)] = 8
    interval: Annotated[int, Field(ge=1, le=1024)] = 8
    sampler: Sampler = "uniform"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    patch_px: Annotated[int, Field(ge=4, le=64)] = 16
    width: Annotated[int, Field(ge=8, le=2048)] = 768
    depth: Annotated[int, Field(ge=1, le=48)] = 12
    heads: Annotated[int, Field(ge=1, le=64)] = 12
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    joint_dim: Annotated[int, Field(ge=8, le=2048, multiple_of=HEADS)] = 512
    temporal_depth: Annotated[int, Field(ge=0, le=24)] = 0
    input: Literal["rgb"] = "rgb"

    def __post_init__(self) -> None:
        check_transformer(self.width, self.heads, self.input_px, self.patch_px)

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> ActionCLIP:
        """The network; `pretrained` is a CLIP model folder, whose text encoder reads the names of the actions."""
        no_images("none", frozen_level)
        network = ActionCLIP(self, len(actions))
        if pretrained != "none":
            folder = model_folder(pretrained, allow_network=False)
            ClipFolder(folder).fill(network, actions)
        return network


class ActionCLIP(nn.Module):
    """Cosines between a clip's embedding and one row for each action, scaled."""

    def __init__(self, architecture: ActionCLIPArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise("clip", a.input)
        transformers = import_extra("transformers", "transformers")
        sizes = {"hidden_size": a.width, "intermediate_size": 4 * a.width, "num_hidden_layers": a.depth, "num_attention_heads": a.heads}
        settings = {"image_size": a.input_px, "patch_size": a.patch_px, "projection_dim": a.joint_dim, "hidden_act": a.activation}
        self.image = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**sizes, **settings))
        self.time_embed = nn.Parameter(torch.zeros(1, a.frames, a.joint_dim)) if a.temporal_depth else None
        self.temporal = nn.Sequential(*(_starting_as_nothing(a.joint_dim) for _ in range(a.temporal_depth)))
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        self.classifier = nn.Linear(a.joint_dim, num_actions, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        frames = self.normalise(clips).transpose(1, 2)
        seen: Tensor = self.image(pixel_values=frames.flatten(0, 1), interpolate_pos_encoding=True).image_embeds
        seen = seen.view(*frames.shape[:2], -1)
        if self.time_embed is not None:
            seen = self.temporal(seen + times(self.time_embed, frames.shape[1]))
        cosines = F.linear(F.normalize(seen.mean(1), dim=-1), F.normalize(self.classifier.weight, dim=-1))
        return cosines * self.logit_scale.exp()


def _starting_as_nothing(dim: int) -> nn.Module:
    """A layer that gives what it takes until it is trained."""
    layer = nn.TransformerEncoderLayer(dim, HEADS, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
    for last in (layer.self_attn.out_proj, layer.linear2):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return layer


class ClipFolder:
    """CLIP with both encoders, from a model folder of transformers.

    Raises:
        InputError: it is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "tokenizer.json").is_file() and not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
            raise InputError(f"{folder}: holds no tokenizer.json, nor vocab.json and merges.txt; without, no label can be read")
        model, self._tokenizer = load_model(folder, "CLIPModel", "AutoTokenizer", "cpu")
        self._model: Any = model

    def architecture(self, frames: int) -> ActionCLIPArchitecture:
        """What its image encoder is made of."""
        vision = self._model.config.vision_config
        found = {
            "frames": frames,
            "input_px": vision.image_size,
            "patch_px": vision.patch_size,
            "width": vision.hidden_size,
            "depth": vision.num_hidden_layers,
            "heads": vision.num_attention_heads,
            "activation": vision.hidden_act,
            "joint_dim": self._model.config.projection_dim,
        }
        return parse_config(ActionCLIPArchitecture, found, f"{self.folder / 'config.json'}")

    def fill(self, network: ActionCLIP, actions: Sequence[str]) -> None:
        """Give a network the image encoder, and the names of its actions as rows; the temporal transformer stays.

        Raises:
            InputError: its architecture has other sizes.
        """
        given = {f"image.{name}": value for name, value in self._model.state_dict().items() if name.startswith("vis")}
        given |= {"logit_scale": self._model.logit_scale, "classifier.weight": self.rows(actions)}
        own = {name: value for name, value in network.state_dict().items() if name.startswith("tim") or name.startswith("temporal.")}
        fill(network, given | own, "the architecture's CLIP", self.folder)

    @torch.inference_mode()
    def rows(self, actions: Sequence[str], prompts: Sequence[str] = PROMPTS) -> Tensor:
        """(A, D) unit vectors: the mean of what the text encoder makes of each action's name in every prompt."""
        return torch.cat([self._row(action.replace("_", " "), prompts) for action in actions]).clone()

    def _row(self, action: str, prompts: Sequence[str]) -> Tensor:
        most = self._model.config.text_config.max_position_embeddings
        texts = [prompt.replace("{}", action) for prompt in prompts]
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")
        pooled = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).pooler_output
        embeddings = F.normalize(self._model.text_projection(pooled), dim=-1)
        return F.normalize(embeddings.mean(0, keepdim=True), dim=-1)
