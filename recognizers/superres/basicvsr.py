"""Video super-resolution by propagation in both directions of time (BasicVSR: Chan et al., BasicVSR: The Search for Essential
Components in Video Super-Resolution and Beyond, CVPR 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.networks.pieces import Piece, noise
from recognizers.superres.spynet import SPyNet, warp

Blocks = Annotated[int, Field(ge=1, le=100)]
Width = Annotated[int, Field(ge=1, le=256)]
SLOPE = 0.1  # of the leaky ReLUs
Flows = tuple[list[Tensor | None], list[Tensor | None]]


@config
class BasicVSRArchitecture:
    """Sizes of a BasicVSR; the defaults are the published ones.

    Args:
        scale: how many times larger each side becomes.
        channels: of the features that are propagated.
        blocks: residual blocks of either direction.
        hr_channels: of the features at full size.
        flow: what aligns neighbouring frames; `none` propagates features in place, which is cheaper and needs no flow network.
        flow_levels, flow_channels: of the SPyNet.
        base: interpolation that the network's output is added to.
    """

    scale: Literal[2, 4] = 4
    channels: Width = 64
    blocks: Blocks = 30
    hr_channels: Width = 64
    flow: Literal["none", "spynet"] = "spynet"
    flow_levels: Annotated[int, Field(ge=1, le=8)] = 6
    flow_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (32, 64, 32, 16)
    base: Literal["bilinear", "bicubic"] = "bilinear"

    def build(self) -> nn.Module:
        return BasicVSR(self)


class BasicVSR(nn.Module):
    """Clips (B, T, 3, H, W), RGB in [0, 1], of any length and size, to (B, T, 3, S H, S W), not clipped."""

    def __init__(self, architecture: BasicVSRArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.flow = SPyNet(a.flow_levels, a.flow_channels) if a.flow == "spynet" else None
        self.backward_branch = Trunk(a.channels + 3, a.channels, a.blocks)
        self.forward_branch = Trunk(a.channels + 3, a.channels, a.blocks)
        self.fusion = nn.Conv2d(2 * a.channels, a.channels, 1)
        widths = [a.channels] * (a.scale // 2 - 1) + [a.hr_channels]
        self.upsampling = nn.ModuleList(nn.Conv2d(a.channels, 4 * width, 3, padding=1) for width in widths)
        self.hr = nn.Conv2d(a.hr_channels, a.hr_channels, 3, padding=1)
        self.last = nn.Conv2d(a.hr_channels, 3, 3, padding=1)

    def forward(self, clips: Tensor) -> Tensor:
        return self.upscale(clips, self.flows(clips))

    def pieces(self, inside: str = "") -> tuple[Piece, ...]:
        """What is done frame by frame; flow, and how features are carried along it, stays in PyTorch.

        Args:
            inside: dotted name of the module that this one is in a larger network, with its dot.
        """
        channels = self.architecture.channels
        steps, features = (noise((1, count, 32, 48), (2, count, 40, 36)) for count in (channels + 3, 2 * channels))
        branches = (Piece(f"{inside}{branch}.forward", steps) for branch in ("backward_branch", "forward_branch"))
        return (*branches, Piece(f"{inside}details", features))

    def upscale(self, clips: Tensor, flows: Flows) -> Tensor:
        """The larger clips, from the clips and what `flows` says of them."""
        to_next, to_previous = flows
        frames = clips.unbind(1)
        behind = self._propagate(self.backward_branch, frames[::-1], to_next[::-1])[::-1]
        ahead = self._propagate(self.forward_branch, frames, to_previous)
        return torch.stack([self._upsample(*features) for features in zip(frames, behind, ahead, strict=True)], 1)

    def flows(self, clips: Tensor) -> Flows:
        """Flow (B, 2, H, W) of each frame but the last to the next one, and of each but the first to the one before it."""
        steps = clips.shape[1] - 1
        if self.flow is None or not steps:
            return [None] * steps, [None] * steps
        first, second = clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)
        to_next, to_previous = (self.flow(*pair).unflatten(0, (-1, steps)) for pair in ((first, second), (second, first)))
        return list(to_next.unbind(1)), list(to_previous.unbind(1))

    def _propagate(self, branch: nn.Module, frames: tuple[Tensor, ...], flows: list[Tensor | None]) -> list[Tensor]:
        """Features (B, C, H, W) of each frame, which carry what the frames before it in this order showed."""
        batch, _, height, width = frames[0].shape
        state = frames[0].new_zeros(batch, self.architecture.channels, height, width)
        found = []
        for frame, flow in zip(frames, (None, *flows), strict=True):
            state = branch(torch.cat([frame, state if flow is None else warp(state, flow)], 1))
            found.append(state)
        return found

    def _upsample(self, frame: Tensor, behind: Tensor, ahead: Tensor) -> Tensor:
        details = self.details(torch.cat([behind, ahead], 1))
        return details + F.interpolate(frame, scale_factor=self.architecture.scale, mode=self.architecture.base, align_corners=False)

    def details(self, both: Tensor) -> Tensor:
        """(B, 3, S H, S W) from the features (B, 2 C, H, W) of both directions."""
        features = F.leaky_relu(self.fusion(both), SLOPE)
        for convolution in self.upsampling:
            features = F.leaky_relu(F.pixel_shuffle(convolution(features), 2), SLOPE)
        found: Tensor = self.last(F.leaky_relu(self.hr(features), SLOPE))
        return found


class Trunk(nn.Module):
    """A convolution and residual blocks."""

    def __init__(self, fan_in: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.blocks(F.leaky_relu(self.first(features), SLOPE))
        return found


class ResidualBlock(nn.Module):
    """Two convolutions without norms, small at first, so that many blocks on top of each other train."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for convolution in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(convolution.weight)
            convolution.weight.data *= 0.1
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = features + self.conv2(F.relu(self.conv1(features)))
        return found
