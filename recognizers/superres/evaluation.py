"""How near super-resolved clips come to the truth."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from torch import nn

from parsing.types import Array, ModelFacts
from recognizers.superres.chunks import WHOLE
from recognizers.superres.images import bicubic
from recognizers.superres.metrics import fidelity
from recognizers.superres.resolver import SuperResolver
from recognizers.superres.video import run_network

KINDS = ("clean", "real")  # degradations that are evaluated


def evaluate_network(network: nn.Module, val: list[dict[str, Array]], scale: int, device: str) -> dict[str, Any]:
    """PSNR (dB) and SSIM on luma, mean over clips, for the network and for bicubic interpolation, by degradation."""
    network = network.eval().to(device)
    resolver = SuperResolver(
        partial(run_network, network, device=device), scale, ModelFacts("super_resolution", "trained", None, "{}"), WHOLE
    )
    figures: dict[str, Any] = {"clips": len(val)}
    for kind in KINDS:
        ours = np.mean([fidelity(resolver(clip[kind]), clip["truth"]) for clip in val], 0)
        plain = np.mean([fidelity(bicubic(clip[kind], scale), clip["truth"]) for clip in val], 0)
        names = ("psnr", "ssim", "bicubic_psnr", "bicubic_ssim")
        figures[kind] = {name: round(float(value), 4) for name, value in zip(names, (*ours, *plain), strict=True)}
    return figures
