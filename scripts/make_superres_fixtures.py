#!/usr/bin/env python3
"""Outputs of basicsr's and mmagic's networks for seeded weights and one seeded clip, which the parity tests compare with.

    pip install --no-deps --target DIR basicsr==1.4.2 mmagic==1.2.0 mmengine mmcv-lite addict lmdb future termcolor yapf platformdirs
    python scripts/make_superres_fixtures.py DIR

Writes tests/data/superres_LIBRARY_NETWORK.npz: names and shapes of the library's tensors, at the small size that ran and at
the published one, and samples of the outputs. The weights themselves follow from their names (tests/seeded.py).
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from seeded import seeded_clip, seeded_tensor

FRAMES, SIZE, BLOCKS = 4, 44, 2  # basicsr cannot take sides of 32 px and less
VALUES = 4096  # kept of each output
COMPUTED = ("spynet.mean", "spynet.std")


def use_libraries(folder: Path) -> None:
    """Make both importable: basicsr asks for a module that torchvision has renamed, mmagic for much that these networks leave alone."""
    sys.path.append(str(folder))
    warnings.simplefilter("ignore")
    sys.modules["torchvision.transforms.functional_tensor"] = importlib.import_module("torchvision.transforms.functional")
    for name in ("mmagic", "mmagic.models", "mmagic.models.editors", "mmagic.models.archs", "mmagic.models.utils"):
        _plain_package(name, folder)
    for name in ("basicvsr", "real_basicvsr"):
        _plain_package(f"mmagic.models.editors.{name}", folder)
    tools: Any = sys.modules["mmagic.models.utils"]
    tools.flow_warp = importlib.import_module("mmagic.models.utils.flow_warp").flow_warp
    tools.make_layer = lambda block, count, **options: nn.Sequential(*(block(**options) for _ in range(count)))
    tools.default_init_weights = lambda *_, **__: None  # weights are seeded afterwards
    parts: Any = sys.modules["mmagic.models.archs"]
    parts.ResidualBlockNoBN = importlib.import_module("mmagic.models.archs.sr_backbone").ResidualBlockNoBN
    parts.PixelShufflePack = importlib.import_module("mmagic.models.archs.upsample").PixelShufflePack


def _plain_package(name: str, folder: Path) -> None:
    """A package whose modules can be imported without its __init__, which would import the whole library."""
    package = ModuleType(name)
    package.__path__ = [str(folder / name.replace(".", "/"))]
    sys.modules[name] = package


def references() -> Iterator[tuple[str, Callable[..., nn.Module], dict[str, int], dict[str, int]]]:
    """Name of the fixture, class, its options at the small size, and at the published one."""
    ours = importlib.import_module("basicsr.archs.basicvsr_arch").BasicVSR
    yield "basicsr_basicvsr", ours, {"num_block": BLOCKS}, {"num_block": 30}
    theirs = importlib.import_module("mmagic.models.editors.basicvsr.basicvsr_net").BasicVSRNet
    yield "mmagic_basicvsr", theirs, {"num_blocks": BLOCKS}, {"num_blocks": 30}
    real = importlib.import_module("mmagic.models.editors.real_basicvsr.real_basicvsr_net").RealBasicVSRNet
    small = {"num_propagation_blocks": BLOCKS, "num_cleaning_blocks": BLOCKS, "dynamic_refine_thres": 1.5}
    yield "mmagic_realbasicvsr", real, small, {}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.endswith(COMPUTED)}


def fill_seeded(network: nn.Module) -> nn.Module:
    filled = {name: torch.from_numpy(np.asarray(seeded_tensor(name, shape))) for name, shape in shapes_of(network).items()}
    network.load_state_dict(filled, strict=False)
    return network.eval()


def seeded_input(frames: int = FRAMES, size: int = SIZE) -> torch.Tensor:
    """(1, frames, 3, size, size - 8) RGB in [0, 1]."""
    clip = torch.from_numpy(seeded_clip(frames, size)).transpose(0, 1)[None, ..., : size - 8]
    return ((clip + 2) * 64 / 255).contiguous()


def spread(values: torch.Tensor) -> np.ndarray:
    flat = values.flatten().numpy()
    return flat[np.linspace(0, len(flat) - 1, min(len(flat), VALUES)).round().astype(int)]


@torch.no_grad()
def write_fixture(name: str, build: Callable[..., nn.Module], small: dict[str, int], published: dict[str, int]) -> None:
    network, clip = fill_seeded(build(**small)), seeded_input()
    spynet: Any = getattr(network, "spynet", None) or network.basicvsr.spynet  # type: ignore[union-attr]
    flow, output = spynet(clip[0, 1:], clip[0, :-1]), network(clip.clone())
    shapes = {"shapes": json.dumps(shapes_of(network)), "published": json.dumps(shapes_of(build(**published)))}
    path = ROOT / "tests" / "data" / f"superres_{name}.npz"
    np.savez_compressed(path, output=spread(output), flow=spread(flow), **shapes)
    print(f"{name}: output std {float(output.std()):.3f}, flow std {float(flow.std()):.3f} px, {path.stat().st_size} bytes")


if __name__ == "__main__":
    use_libraries(Path(sys.argv[1]))
    for reference in references():
        write_fixture(*reference)
