"""Video super-resolution of real, degraded videos (RealBasicVSR: Chan et al., Investigating Tradeoffs in Real-World Video
Super-Resolution, CVPR 2022): frames are cleaned before BasicVSR propagates what they show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config
from parsing.networks.pieces import Piece, noise
from recognizers.superres.basicvsr import BasicVSR, BasicVSRArchitecture, Blocks, Trunk

MOST_CLEANINGS = 3  # as published, found by trial


@config
class RealBasicVSRArchitecture(BasicVSRArchitecture):
    """Sizes of a RealBasicVSR; the defaults are the published ones.

    Args:
        cleaning_blocks: residual blocks of the cleaning module.
        refine_until: mean change of a cleaning, in [0, 1], below which no further one follows; 1.5 / 255 is the paper's.
    """

    blocks: Blocks = 20
    cleaning_blocks: Blocks = 20
    refine_until: Annotated[float, Field(gt=0, le=1)] = 1.5 / 255

    def build(self) -> nn.Module:
        return RealBasicVSR(self)


class RealBasicVSR(nn.Module):
    """As `BasicVSR`, with frames cleaned first: once in training, until little changes afterwards (dynamic refinement)."""

    def __init__(self, architecture: RealBasicVSRArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        trunk = Trunk(3, architecture.channels, architecture.cleaning_blocks)
        self.cleaning = nn.Sequential(trunk, nn.Conv2d(architecture.channels, 3, 3, padding=1))
        self.basicvsr = BasicVSR(architecture)

    def forward(self, clips: Tensor) -> Tensor:
        found: Tensor = self.basicvsr(self.clean(clips))
        return found

    def pieces(self) -> tuple[Piece, ...]:
        """The cleaning of frames, and what `BasicVSR` says."""
        return (Piece("cleaning.forward", noise((1, 3, 32, 48), (2, 3, 40, 36))), *self.basicvsr.pieces("basicvsr."))

    def clean(self, clips: Tensor) -> Tensor:
        """The clips (B, T, 3, H, W) without noise and artefacts; whether to go on is decided for all of them together."""
        for _ in range(1 if self.training else MOST_CLEANINGS):
            change = self.cleaning(clips.flatten(0, 1)).view_as(clips)
            clips = clips + change
            if change.abs().mean() < self.architecture.refine_until:
                break
        return clips
