"""A converted video network against the logits of its reference: what the parity tests and benchmarks/parity.py compare."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from seeded import seeded_clip, seeded_tensor

from recognizers.networks.conversion import convert
from recognizers.networks.tensor_names import Origin

DATA = Path(__file__).parent / "data"
# How a library's fixtures begin -> what the library is called.
LIBRARIES: dict[str, Origin] = {
    "mmaction": "mmaction2",
    "pytorchvideo": "pytorchvideo",
    "pyslowfast": "pyslowfast",
    "mfnet": "pytorch_mfnet",
}
FIXTURES = sorted(path.stem for library in LIBRARIES for path in DATA.glob(f"{library}_*.npz"))
ACTIONS = [f"action {i}" for i in range(20)]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MIDDLE, HALF = ((0.45,) * 3, (0.225,) * 3), ((0.5,) * 3, (0.5,) * 3)
# Mean and deviation of colours that references normalise by, where they are not ImageNet's.
COLOURS = {
    "mmaction_uniformer": MIDDLE,
    "mmaction_timesformer": HALF,
    "mmaction_mvit_v2_base": MIDDLE,
    "pytorchvideo": MIDDLE,
    "pyslowfast": MIDDLE,
    "mfnet": ((124 / 255, 117 / 255, 104 / 255), (1 / (255 * 0.0167),) * 3),
}


def library_and_target(fixture: str) -> tuple[Origin, str]:
    library, _, target = fixture.partition("_")
    return LIBRARIES[library], target


def seeded_checkpoint(fixture: str) -> dict[str, torch.Tensor]:
    """The reference's state dict: weights that follow from their names."""
    shapes = json.loads(str(np.load(DATA / f"{fixture}.npz")["shapes"]))
    return {name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(shape)))) for name, shape in shapes.items()}


def difference(fixture: str) -> float:
    """The largest difference from the reference's logits over their deviation: with seeded weights they lie far apart."""
    origin, target = library_and_target(fixture)
    made = np.load(DATA / f"{fixture}.npz")
    network = convert(seeded_checkpoint(fixture), origin, target, ACTIONS, Path("seeded.pth"))
    mean, std = (torch.tensor(c)[:, None, None] for c in next((c for name, c in COLOURS.items() if fixture.startswith(name)), IMAGENET))
    # The seeded clip holds normalised values; networks here take RGB.
    clip = torch.from_numpy(seeded_clip(int(made["frames"]), int(made.get("size", 64)))).transpose(0, 1) * std + mean
    with torch.inference_mode():
        logits = network(clip[None]).numpy()
    return float(np.abs(logits - made["logits"]).max() / made["logits"].std())
