"""How near super-resolved clips come to the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from parsing.types import Array
from recognizers.superres.images import bicubic
from recognizers.superres.metrics import fidelity
from recognizers.superres.resolver import SuperResolver

KINDS = ("clean", "real")  # degradations that are evaluated


def evaluate_resolver(resolver: SuperResolver, val: list[dict[str, Array]]) -> dict[str, Any]:
    """PSNR (dB) and SSIM on luma, mean over clips, for the stage and for bicubic interpolation, by degradation."""
    figures: dict[str, Any] = {"clips": len(val)}
    for kind in KINDS:
        ours = np.mean([fidelity(resolver(clip[kind]), clip["truth"]) for clip in val], 0)
        plain = np.mean([fidelity(bicubic(clip[kind], resolver.scale), clip["truth"]) for clip in val], 0)
        names = ("psnr", "ssim", "bicubic_psnr", "bicubic_ssim")
        figures[kind] = {name: round(float(value), 4) for name, value in zip(names, (*ours, *plain), strict=True)}
    return figures
