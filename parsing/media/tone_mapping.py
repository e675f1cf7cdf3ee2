"""Pictures of high dynamic range shown in standard dynamic range.

Codes become light by the EOTF of PQ, or the inverse OETF and the OOTF of HLG (ITU-R BT.2100-2); highlights are rolled off by
the EETF of BT.2390-11 (section 5.4.1), applied to the largest of R, G and B so that hues stay; BT.2020 primaries become those
of BT.709; the display gamma is 2.4 (BT.1886). Reference white of HDR, 203 cd/m² (BT.2408), is what an SDR display shows at most.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np

from parsing.types import Array

Hdr = Literal["pq", "hlg"]
CURVES: dict[int, Hdr] = {16: "pq", 18: "hlg"}  # ISO/IEC 23091-2 transfer characteristics
HDR_PEAK, SDR_PEAK = 1000.0, 203.0  # cd/m²; PQ above the first is clipped
HLG_GAMMA = 1.2  # of a display of 1000 cd/m²
LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # ITU-R BT.2087-0
PQ_M1, PQ_M2, PQ_C1, PQ_C2, PQ_C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
STRIP_PIXELS = 1 << 16  # at once: light needs many times the memory of its codes
STEPS = 4096  # of tables over the square root of light, finer than 8 bits in the shadows


def to_sdr(codes: Array, curve: Hdr) -> Array:
    """(H, W, 3) uint16 RGB codes of the full range, BT.2020, to (H, W, 3) uint8 RGB, BT.709."""
    rows = max(1, STRIP_PIXELS // codes.shape[1])
    return np.concatenate([_strip_to_sdr(codes[top : top + rows], curve) for top in range(0, len(codes), rows)])


def _strip_to_sdr(codes: Array, curve: Hdr) -> Array:
    light = _light(curve)[codes]  # (H, W, 3), 1 is the peak
    if curve == "hlg":
        scene = light @ LUMINANCE
        light *= (np.maximum(scene, 1e-6) ** (HLG_GAMMA - 1))[..., None]
    light *= _gains()[_steps(light.max(-1))][..., None]
    light = cv2.transform(light, BT2020_TO_BT709)
    return np.asarray(_codes()[_steps(light)])


def _steps(light: Array) -> Array:
    """Places in tables of STEPS + 1 values over the square root of light in [0, 1]."""
    return np.asarray((np.sqrt(np.clip(light, 0, 1)) * STEPS + 0.5).astype(np.int32))


@cache
def _light(curve: Hdr) -> Array:
    """(65536,) light of each code, 1 is HDR_PEAK; of HLG that of the scene."""
    signal = np.arange(65536) / 65535
    if curve == "pq":
        return np.minimum(pq_eotf(signal) / HDR_PEAK, 1).astype(np.float32)
    return hlg_scene_light(signal).astype(np.float32)


@cache
def _gains() -> Array:
    """(STEPS + 1,) by what light is multiplied, 1 is HDR_PEAK before and SDR_PEAK after."""
    nits = (np.arange(STEPS + 1) / STEPS) ** 2 * HDR_PEAK
    nits[0] = nits[1]
    return (eetf(nits) / SDR_PEAK / (nits / HDR_PEAK)).astype(np.float32)


@cache
def _codes() -> Array:
    """(STEPS + 1,) 8-bit codes of light, 1 is SDR_PEAK."""
    return np.round(255 * (np.arange(STEPS + 1) / STEPS) ** (2 / 2.4)).astype(np.uint8)


def pq_eotf(signal: Array) -> Array:
    """Light in cd/m² of PQ signals in [0, 1]."""
    power = signal ** (1 / PQ_M2)
    return np.asarray(10_000 * (np.maximum(power - PQ_C1, 0) / (PQ_C2 - PQ_C3 * power)) ** (1 / PQ_M1))


def pq_signal(nits: Array) -> Array:
    """PQ signals in [0, 1] of light in cd/m²."""
    power = (nits / 10_000) ** PQ_M1
    return np.asarray(((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)) ** PQ_M2)


def hlg_scene_light(signal: Array) -> Array:
    """Light of the scene in [0, 1] of HLG signals in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def eetf(nits: Array) -> Array:
    """Light in cd/m² up to HDR_PEAK, rolled off to at most SDR_PEAK by a Hermite spline; black is 0 for both."""
    source = pq_signal(np.array(HDR_PEAK))
    most = pq_signal(np.array(SDR_PEAK)) / source
    knee = 1.5 * most - 0.5
    signal = pq_signal(nits) / source
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_eotf(np.where(signal < knee, signal, spline) * source)
