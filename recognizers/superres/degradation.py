"""What happens to a video on its way into a small, bad file: blur, changes of size, noise, JPEG and video compression.

First and second order as in Real-ESRGAN (Wang et al., ICCVW 2021) and RealBasicVSR (Chan et al., CVPR 2022), whose values are
the defaults. Their generalised, plateau-shaped and sinc kernels are left out. Compression goes by quantiser, which means the
same at every size and length of a clip, where theirs goes by bit rate.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

import av
import cv2
import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from parsing.configs import Share, config
from parsing.types import Array

Positive = Annotated[float, Field(gt=0, le=1000)]
Range = tuple[Positive, Positive]
INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
Codec = Literal["libx264", "mpeg4"]
MACROBLOCK_PX = 16


@config
class DegradationPass:
    """One pass; every value is drawn once for a clip, the noise anew for each frame.

    Args:
        blur: share of clips that are blurred, by a Gaussian of `sigma_px`; `isotropic` of them alike in all directions.
        enlarge, shrink: shares of clips whose size changes, by a factor of up to `scale`'s ends.
        poisson: share of clips with Poisson noise of this `poisson_scale`, the others have Gaussian noise of `noise_sigma` of
            255 levels; `gray` of both kinds have the same noise in all colours.
        jpeg: quality of JPEG.
        video: share of clips that are encoded, half with `h264` (constant rate factor), half with `mpeg4` (quantiser).
    """

    blur: Share = 1.0
    sigma_px: Range = (0.2, 3.0)
    isotropic: Share = 0.6
    enlarge: Share = 0.2
    shrink: Share = 0.7
    scale: Range = (0.15, 1.5)
    poisson: Share = 0.5
    noise_sigma: Range = (1, 30)
    poisson_scale: Range = (0.05, 3.0)
    gray: Share = 0.4
    jpeg: Range = (30, 95)
    video: Share = 1.0
    h264: Range = (18, 38)
    mpeg4: Range = (2, 16)


SECOND_PASS = DegradationPass(
    blur=0.8, sigma_px=(0.2, 1.5), enlarge=0.3, shrink=0.4, scale=(0.3, 1.2), noise_sigma=(1, 25), poisson_scale=(0.05, 2.5)
)


def degrade(frames: Array, size_hw: tuple[int, int], passes: tuple[DegradationPass, ...], random: np.random.Generator) -> Array:
    """A clip as a bad, small file would show it.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        size_hw: of the result.
        passes: one after the other; one is the first order, two are the second.

    Returns:
        (T, *size_hw, 3) uint8 RGB.
    """
    for settings in passes:
        frames = _once(frames, settings, random)
    return _resize(frames, size_hw, random)


def downscale(frames: Array, size_hw: tuple[int, int]) -> Array:
    """(T, H, W, 3) uint8 at another size by antialiased bicubic interpolation: the clean degradation."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    small = F.interpolate(pixels, size_hw, mode="bicubic", antialias=True, align_corners=False)
    return np.asarray(small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy())


def _once(frames: Array, s: DegradationPass, random: np.random.Generator) -> Array:
    if random.random() < s.blur:
        frames = _blur(frames, s, random)
    frames = _resize(frames, _changed_size(frames.shape[1:3], s, random), random)
    frames = _jpeg(_noise(frames, s, random), random.uniform(*s.jpeg))
    if random.random() < s.video:
        codec: Codec = "libx264" if random.random() < 0.5 else "mpeg4"
        frames = compress(frames, codec, round(random.uniform(*(s.h264 if codec == "libx264" else s.mpeg4))))
    return frames


def gaussian_kernel(sigma_px: tuple[float, float], angle: float) -> Array:
    """(K, K) float64, sums to 1: an anisotropic Gaussian whose first axis is turned by `angle` (radians)."""
    radius = max(1, int(np.ceil(3 * max(sigma_px))))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * ((along / sigma_px[0]) ** 2 + (across / sigma_px[1]) ** 2))
    return np.asarray(kernel / kernel.sum())


def _blur(frames: Array, s: DegradationPass, random: np.random.Generator) -> Array:
    first, second = random.uniform(*s.sigma_px, 2)
    second = first if random.random() < s.isotropic else second
    kernel = gaussian_kernel((first, second), random.uniform(0, np.pi))
    return np.stack([cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE) for image in frames])


def _changed_size(size_hw: tuple[int, ...], s: DegradationPass, random: np.random.Generator) -> tuple[int, int]:
    kind, factor = random.random(), 1.0
    if kind < s.enlarge:
        factor = random.uniform(1, max(1.0, s.scale[1]))
    elif kind < s.enlarge + s.shrink:
        factor = random.uniform(min(1.0, s.scale[0]), 1)
    return max(1, round(size_hw[0] * factor)), max(1, round(size_hw[1] * factor))


def _resize(frames: Array, size_hw: tuple[int, int], random: np.random.Generator) -> Array:
    interpolation = INTERPOLATIONS[random.integers(len(INTERPOLATIONS))]
    return np.stack([cv2.resize(image, size_hw[::-1], interpolation=interpolation) for image in frames])


def _noise(frames: Array, s: DegradationPass, random: np.random.Generator) -> Array:
    poisson, gray = random.random() < s.poisson, random.random() < s.gray
    pixels = frames.astype(np.float32)
    light = pixels.mean(3, keepdims=True) if gray else pixels
    if poisson:
        noise = (random.poisson(light) - light) * random.uniform(*s.poisson_scale)
    else:
        noise = random.normal(0, random.uniform(*s.noise_sigma), light.shape)
    return np.asarray((pixels + noise).round().clip(0, 255).astype(np.uint8))


def _jpeg(frames: Array, quality: float) -> Array:
    options = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    coded = [cv2.imencode(".jpg", image, options)[1] for image in frames]
    return np.stack([np.asarray(cv2.imdecode(one, cv2.IMREAD_COLOR)) for one in coded])


def compress(frames: Array, codec: Codec, quantiser: int) -> Array:
    """A clip (T, H, W, 3) uint8 after encoding and decoding in memory.

    Args:
        quantiser: H.264's constant rate factor (0 to 51), or MPEG-4's quantiser (1 to 31); higher is worse.
    """
    height, width = frames.shape[1:3]
    pad_h, pad_w = (-side % MACROBLOCK_PX for side in (height, width))
    padded = np.pad(frames, ((0, 0), (0, pad_h), (0, pad_w), (0, 0)), "edge")
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = padded.shape[2], padded.shape[1], "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 25), Fraction(25), 1
    if codec == "libx264":
        # Without looking ahead: on frames this small, x264's look ahead comes out differently from time to time.
        encoder.options = {"crf": str(quantiser), "preset": "veryfast", "tune": "zerolatency"}
    else:
        encoder.qmin = encoder.qmax = quantiser
    packets = []
    for time, image in enumerate(padded):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
        picture.pts = time  # rate control looks at how long a frame lasts
        packets += encoder.encode(picture)
    decoder = av.CodecContext.create("h264" if codec == "libx264" else codec, "r")
    decoder.thread_count = 1
    pictures = [picture for packet in (*packets, *encoder.encode(None), None) for picture in decoder.decode(packet)]
    return np.stack([picture.to_ndarray(format="rgb24")[:height, :width] for picture in pictures])
