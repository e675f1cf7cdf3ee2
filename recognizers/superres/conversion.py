"""Public checkpoints of video super-resolution as weights of this project: mmagic (mmediting), basicsr.

Names are rewritten by rule; the order of tensors' values is the same on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks.checkpoints import Rule, fill, rewrite
from parsing.networks.converters import Converted
from recognizers.superres.networks import NetworkName, parse_architecture

Origin = Literal["mmagic", "basicsr"]

_BASICSR: tuple[Rule, ...] = (
    (r"spynet\.basic_module\.(\d)\.basic_module\.", r"flow.levels.\1."),
    (r"(backward|forward)_trunk\.main\.0\.", r"\1_branch.first."),
    (r"(backward|forward)_trunk\.main\.2\.", r"\1_branch.blocks."),
    (r"upconv1\.", "upsampling.0."),
    (r"upconv2\.", "upsampling.1."),
    (r"conv_hr\.", "hr."),
    (r"conv_last\.", "last."),
)
# Convolutions of a level have their ReLUs inside, so they are counted without them.
_MMAGIC: tuple[Rule, ...] = (
    *((rf"(spynet\.basic_module\.\d\.basic_module)\.{i}\.conv\.", rf"\1.{2 * i}.") for i in (4, 3, 2, 1, 0)),
    (r"(backward|forward)_resblocks\.", r"\1_trunk."),
    (r"upsample(\d)\.upsample_conv\.", r"upconv\1."),
    (r"image_cleaning\.0\.main\.0\.", "cleaning.0.first."),
    (r"image_cleaning\.0\.main\.2\.", "cleaning.0.blocks."),
    (r"image_cleaning\.1\.", "cleaning.1."),
    *_BASICSR,
)
RULES: dict[Origin, tuple[Rule, ...]] = {"mmagic": _MMAGIC, "basicsr": _BASICSR}
# What a converted checkpoint becomes: network, and fields of its architecture.
TARGETS: dict[str, tuple[NetworkName, dict[str, Any]]] = {
    "basicvsr_x4": ("basicvsr", {}),
    "realbasicvsr_x4": ("realbasicvsr", {}),
}
_PREFIXES = ("generator_ema.", "generator.")  # of the network among losses and discriminators, best first
_DROPPED = re.compile(r"(spynet\.(mean|std)|step_counter)$")


def targets() -> dict[str, Collection[str]]:
    """What the checkpoints of each library can become."""
    return {"mmagic": TARGETS, "basicsr": ["basicvsr_x4"]}


def to_network(
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],  # noqa: ARG001  # of no use here
    origin: Origin,
    target: str,
    classes: Sequence[str],
    path: Path,
) -> Converted:
    """See `Conversion.to_network`."""
    if classes:
        raise InputError(f"--classes: {len(classes)} names, but networks of super-resolution have no classes")
    return convert(tensors, origin, target, path), TARGETS[target][0], {}


def convert(tensors: Mapping[str, Tensor], origin: Origin, target: str, path: Path, fields: Mapping[str, Any] | None = None) -> nn.Module:
    """A network filled with a checkpoint's tensors.

    Args:
        tensors: the library's state dict.
        origin, target: one of `targets`.
        path: of the checkpoint, for messages.
        fields: of the architecture, where they are not the published ones.

    Raises:
        InputError: tensors are missing, left over, or of another shape.
    """
    name, published = TARGETS[target]
    network = parse_architecture(name, {**published, **(fields or {})}, target).build()
    renamed = {rewrite(key, RULES[origin]): value for key, value in _network_alone(tensors).items() if not _DROPPED.search(key)}
    fill(network, renamed, target, path)
    return network.eval()


def _network_alone(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without discriminators and losses, the moving average before the last state."""
    for prefix in _PREFIXES:
        found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if found:
            return found
    return tensors
