"""The video networks of the five reports. Each takes clips (B, T, 3, H, W), RGB in [0, 1], and gives logits (B, A).

Where an architecture says `input: flow`, the three are what `recognizers.clips.flow` makes; with `rgb_flow` there are six.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, cast

from torch import nn

from parsing.configs import Table, chosen_class, parse_config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampling
from recognizers.clips.inputs import InputKind

NetworkName = Literal[
    "tsm", "slowfast", "csn", "tanet", "uniformer", "video_swin", "mvit", "s3d", "r2plus1d", "r3d", "resnet3d", "mfnet", "timesformer",
    "actionclip",
]  # fmt: skip
# Name in a config -> its architecture, imported only when chosen.
NETWORKS: Table = {
    "tsm": "recognizers.networks.tsm:TSMArchitecture",
    "slowfast": "recognizers.networks.slowfast:SlowFastArchitecture",
    "csn": "recognizers.networks.csn:CSNArchitecture",
    "tanet": "recognizers.networks.tanet:TANetArchitecture",
    "uniformer": "recognizers.networks.uniformer:UniFormerArchitecture",
    "video_swin": "recognizers.networks.reference:VideoSwinArchitecture",
    "mvit": "recognizers.networks.mvit:MViTArchitecture",
    "s3d": "recognizers.networks.reference:S3DArchitecture",
    "r2plus1d": "recognizers.networks.video_resnet:R2Plus1DArchitecture",
    "r3d": "recognizers.networks.video_resnet:R3DArchitecture",
    "resnet3d": "recognizers.networks.slow_only:ResNet3DArchitecture",
    "mfnet": "recognizers.networks.mfnet:MFNetArchitecture",
    "timesformer": "recognizers.networks.timesformer:TimeSformerArchitecture",
    "actionclip": "recognizers.networks.actionclip:ActionCLIPArchitecture",
}


class Architecture(Protocol):
    """What every network's architecture can say."""

    @property
    def input_px(self) -> int:
        """Side of the square input."""

    @property
    def input(self) -> InputKind:
        """What the network is fed with."""

    @property
    def sampling(self) -> Sampling:
        """Which frames of a video make a clip."""

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> nn.Module:
        """The network for actions of these names, with new weights, or public ones where `pretrained` asks for them.

        Raises:
            InputError: it knows no such weights, or no levels to freeze.
        """


def parse_architecture(name: str, value: Any, where: str) -> Architecture:
    """The typed architecture of a network.

    Raises:
        InputError: a key or value does not fit; names it.
    """
    return cast(Architecture, parse_config(chosen_class(NETWORKS, name), value, where))
