"""A small network over the tracks of a window: parts to a person, a person over time, persons to an action."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.networks.initial import NamedRows, Rows
from recognizers.parts.features import GEOMETRY, PERSON, Grid

Kernel = Annotated[int, Field(ge=1, le=63)]
Width = Annotated[int, Field(ge=1, le=1024)]
LOW = -1e4  # of what is not there, in a softmax or a maximum; finite, so that gradients are where nothing is there at all


@config
class PartTracksArchitecture:
    """What the network is made of; travels in the header of its weights.

    Args:
        most_persons: of a window, the most prominent ones.
        part_dim: width of a part, `dim` that of a person.
        depth: blocks of convolutions over time.
        kernels: of each block, odd; each has an equal share of the channels (as in multi-scale temporal convolutions of
            skeleton networks, Liu et al., MS-G3D, CVPR 2020).
    """

    grid: Grid = field(default_factory=Grid)
    most_persons: Annotated[int, Field(ge=1, le=32)] = 4
    part_dim: Width = 32
    dim: Width = 96
    depth: Annotated[int, Field(ge=1, le=24)] = 4
    kernels: Annotated[tuple[Kernel, ...], Field(min_length=1, max_length=8)] = (3, 5, 9)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    def __post_init__(self) -> None:
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels {list(self.kernels)}, expected odd ones")
        if self.dim % len(self.kernels):
            raise ValueError(f"dim {self.dim} cannot be shared by {len(self.kernels)} kernels, expected a multiple")


class TemporalBlock(nn.Module):
    """Convolutions of several lengths side by side, then a layer over all channels; what is not known stays zero."""

    def __init__(self, dim: int, kernels: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, dim // len(kernels), kernel, padding=kernel // 2) for kernel in kernels)
        self.mix = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, within: Tensor) -> Tensor:
        """(N, T, D) of (N, T, D), and of (N, T, 1) that are 1 where something is known."""
        y = (self.norm(x) * within).transpose(1, 2)
        y = torch.cat([convolution(y) for convolution in self.convolutions], 1).transpose(1, 2)
        changed: Tensor = (x + self.dropout(self.mix(F.gelu(y)))) * within
        return changed


class PartTracksNet(nn.Module):
    """Logits of the actions of a window, from its persons.

    Each person has logits and a weight; those of the window are the weighted mean (attention-based multiple-instance
    pooling, Ilse et al., ICML 2018), so a clip's label teaches which of its persons acts. A window without persons has
    logits of its own.
    """

    named_rows: ClassVar[NamedRows] = {
        "part_embedding": (Rows("parts"),),
        r"part\.weight": (Rows("states", 1, before=GEOMETRY),),
        r"classify\..*|nobody": (Rows("actions"),),
    }

    def __init__(self, architecture: PartTracksArchitecture, num_parts: int, num_states: int, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.part = nn.Linear(GEOMETRY + num_states, a.part_dim)
        self.part_embedding = nn.Parameter(torch.randn(num_parts, a.part_dim) * 0.02)
        self.person = nn.Linear(num_parts * a.part_dim + PERSON, a.dim)
        self.blocks = nn.ModuleList(TemporalBlock(a.dim, a.kernels, a.dropout) for _ in range(a.depth))
        self.norm = nn.LayerNorm(a.dim)
        self.attend = nn.Linear(a.dim, 1)
        self.dropout = nn.Dropout(a.dropout)
        self.classify = nn.Linear(3 * a.dim, num_actions)
        self.weigh = nn.Linear(3 * a.dim, 1)
        self.nobody = nn.Parameter(torch.zeros(num_actions))

    def forward(self, parts: Tensor, persons: Tensor) -> Tensor:
        """Logits (B, A) of windows.

        Args:
            parts: (B, K, T, P, GEOMETRY + S) of K persons, `recognizers.parts.features`; places without a person are zero.
            persons: (B, K, T, PERSON).
        """
        b, k = persons.shape[:2]
        there = persons[..., 0].amax(2) > 0  # (B, K)
        rows, seen = torch.nonzero(there.flatten())[:, 0], torch.nonzero(persons[..., 0].flatten(0, 1).amax(0))
        last = int(seen.max()) + 1 if len(seen) else 1  # most windows end before the grid does
        found = self._pooled(parts.flatten(0, 1)[rows, :last], persons.flatten(0, 1)[rows, :last])
        pooled = self.dropout(found.new_zeros(b * k, found.shape[1]).index_put((rows,), found)).view(b, k, -1)
        weights = self.weigh(pooled)[..., 0].masked_fill(~there, LOW).softmax(1) * there
        mixed = (weights[..., None] * self.classify(pooled)).sum(1)
        return torch.where(there.any(1, keepdim=True), mixed, self.nobody)

    def _pooled(self, parts: Tensor, persons: Tensor) -> Tensor:
        """(N, 3 D) of N persons: what they show on average, at most, and where it matters."""
        within = (persons[..., :1] > 0).float()
        visible = (parts[..., :1] > 0).float()
        tokens = F.gelu(self.part(parts) + self.part_embedding) * visible
        x = F.gelu(self.person(torch.cat([tokens.flatten(2), persons], -1))) * within
        for block in self.blocks:
            x = block(x, within)
        x = self.norm(x) * within
        mean = x.sum(1) / within.sum(1).clamp(min=1)
        most = x.masked_fill(within == 0, LOW).amax(1) * within.amax(1)
        attention = self.attend(x).masked_fill(within == 0, LOW).softmax(1)
        return torch.cat([mean, most, (attention * x).sum(1)], -1)
