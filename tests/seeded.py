"""Weights and pictures by a seeded rule, the same in every environment: fixtures then hold outputs alone. NumPy only."""

from __future__ import annotations

import zlib

import numpy as np

SAMPLES = 256  # values kept of each output


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What a tensor of mmdet's state dict holds, from its name and shape alone; keeps activations in a sane range."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        return 1 + 0.2 * np.abs(noise)
    if last == "running_mean":
        return 0.1 * noise
    if last == "scale":
        return 1 + 0.1 * noise
    if last in ("cls_token", "pos_embed", "time_embed"):
        return 0.5 * noise
    if last == "relative_position_bias_table":
        return 0.2 * noise
    if "retina_cls.bias" in name or "gfl_cls.bias" in name:
        return -3 + 0.5 * noise
    if last == "bias":
        return 0.05 * noise
    if len(shape) == 1:
        return (0.3 if ".bn3." in name else 1.0) * (1 + 0.1 * noise)
    gains = {"fc_cls": 300.0, "fc_reg": 3.0, "shared_fcs": 2.0, "_cls.": 1.5, "_reg.": 0.3, "neck.": 0.15}
    gain = next((value for part, value in gains.items() if part in name), 2.0 if len(shape) == 4 else 1.0)
    return noise * np.float32(np.sqrt(gain / np.prod(shape[1:])))


def seeded_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8 RGB: soft blobs, so that there are edges at all scales."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = np.zeros((height, width, 3), np.float32)
    for _ in range(24):
        cy, cx, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(6, 60)
        image += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * radius**2))[..., None] * random.uniform(-160, 160, 3)
    return np.clip(image + 120, 0, 255).astype(np.uint8)


def sample(values: np.ndarray) -> np.ndarray:
    """At most 256 values spread over an array."""
    flat = np.asarray(values, np.float32).ravel()
    return flat[np.linspace(0, len(flat) - 1, min(len(flat), SAMPLES)).round().astype(int)]


def seeded_clip(frames: int, size: int) -> np.ndarray:
    """(3, frames, size, size) float32, normalised: a soft picture that drifts."""
    image = seeded_image(size + frames, size + frames).astype(np.float32) / 64 - 2
    return np.stack([image[t : t + size, t : t + size] for t in range(frames)], 1).transpose(3, 1, 0, 2).copy()
