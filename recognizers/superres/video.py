"""Networks that look at many frames, as a stage."""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import nn

from parsing.configs import config
from parsing.networks.pieces import run_on
from parsing.networks.placing import to_device
from parsing.networks.runtimes import Runtime
from parsing.networks.weights import model_facts, weights_path
from parsing.types import Array
from recognizers.superres.cache import CacheConfig
from recognizers.superres.chunks import Chunking
from recognizers.superres.networks import NetworkName, load_network
from recognizers.superres.resolver import SuperResolver, check_scale


@config
class VideoSuperResolverConfig:
    """Options of a network at run time.

    Args:
        scale: that the weights must have; None takes theirs.
        reach: frames to either side that are computed with a wanted one where only some are wanted.
        cache: keeps results on disk.
        runtime: what computes the network, see `parsing.networks.pieces`; `auto` is OpenVINO on CPUs, PyTorch on GPUs.
    """

    name: NetworkName
    weights: str
    scale: Literal[2, 4] | None = None
    cut: Chunking = field(default_factory=Chunking)
    reach: Annotated[int, Field(ge=0, le=100)] = 4
    cache: CacheConfig | None = None
    runtime: Runtime = "auto"

    def build(self, device: str) -> SuperResolver:
        self.cut.check(self.name)
        network, architecture = load_network(self.name, self.weights, device)
        check_scale(architecture.scale, self.scale, weights_path(self.weights))
        runtime = run_on(network, cast(Any, network).pieces(), self.runtime, device, name="super_resolution")
        facts = model_facts("super_resolution", replace(self, runtime=runtime), self.weights)
        cache = self.cache.build() if self.cache else None
        return SuperResolver(partial(run_network, network, device=device), architecture.scale, facts, self.cut, self.reach, cache)


@torch.inference_mode()
def run_network(network: nn.Module, frames: Array, device: str) -> Array:
    """(T, H, W, 3) uint8 RGB through a network to (T, S H, S W, 3)."""
    clip = to_device(np.ascontiguousarray(frames), device).permute(0, 3, 1, 2)[None].float() / 255
    found = network(clip)[0].mul_(255).round_().clamp_(0, 255).byte()
    return np.asarray(found.permute(0, 2, 3, 1).contiguous().cpu().numpy())
