"""How small pictures become what a recognizer sees: super-resolved, or only enlarged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from parsing.configs import Choice, StageConfig, config
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame
from recognizers.clips.test_views import with_short_side
from recognizers.superres import SUPER_RESOLVERS
from recognizers.superres.images import BicubicConfig
from recognizers.superres.resolver import SuperResolver, needed_frames, upscale_some

Pixels = Annotated[int, Field(ge=0, le=4096)]


@config
class ScalingConfig:
    """One policy for pictures of all sizes; sides are the shorter ones, and proportions stay.

    Netease (2021) scales what is lower than 96 px to 64 and super-resolves it to 128, and the rest to 128: `below_px: 96,
    first_px: 64, to_px: 128` with a x2 network. SIAT (2022) super-resolves everything to 224: `below_px: 100000, to_px:
    224` with a x4 one. SUSTech & HKU (2021) enlarge everything to 112 by bicubic interpolation: `to_px: 112`.

    Args:
        below_px: smaller pictures are super-resolved; 0 for none.
        first_px: to which those are scaled before; 0 leaves them.
        resolver: a component of `SUPER_RESOLVERS`.
        to_px: to which everything is scaled in the end, by area where it shrinks, else bicubic; 0 leaves it.
    """

    below_px: Pixels = 0
    first_px: Pixels = 0
    to_px: Pixels = 0
    resolver: Annotated[StageConfig, Choice(SUPER_RESOLVERS)] = field(default_factory=lambda: BicubicConfig("bicubic"))

    def build(self, device: str) -> Scaling:
        resolver = self.resolver.build(device) if self.below_px else None
        return Scaling(resolver, self.below_px, self.first_px, self.to_px)


class Scaling:
    """Frames of one video in, the same frames as a recognizer sees them out."""

    def __init__(self, resolver: SuperResolver | None, below_px: int, first_px: int, to_px: int) -> None:
        self.resolver, self.below_px, self.first_px, self.to_px = resolver, below_px, first_px, to_px

    def resolves(self, image_hw: tuple[int, int]) -> bool:
        """Whether pictures of this size are super-resolved."""
        return self.resolver is not None and min(image_hw) < self.below_px

    def some(self, frames: Mapping[int, Array], wanted: Iterable[int]) -> dict[int, Array]:
        """The wanted frames, scaled.

        Args:
            frames: (H, W, 3) uint8 RGB by index, with the neighbours that propagation sees; of one size, or squares, as crops of a track
                are: those are brought to their median side before they are super-resolved.
        """
        chosen = sorted(set(wanted))
        side = round(float(np.median([min(image.shape[:2]) for image in frames.values()]))) if chosen else 0
        if self.resolver is None or not self.resolves((side, side)):
            return {index: with_short_side(frames[index], self.to_px) for index in chosen}
        first = {index: with_short_side(image, self.first_px or side) for index, image in frames.items()}
        return {index: with_short_side(image, self.to_px) for index, image in upscale_some(self.resolver, first, chosen).items()}

    def __call__(self, frames: Array) -> Array:
        """All of (T, H, W, 3) frames in a row."""
        found = self.some(dict(enumerate(frames)), range(len(frames)))
        return np.stack([found[index] for index in range(len(frames))])


class ScaledRecognizer:
    """A recognizer that sees scaled frames.

    The members of an ensemble inside it share them, because super-resolution costs more than the members do.
    """

    def __init__(self, recognizer: ActionRecognizer, scaling: Scaling) -> None:
        self.recognizer, self.scaling = recognizer, scaling
        self.action_names, self.multi_label = recognizer.action_names, recognizer.multi_label
        self.background, self.least_frames = recognizer.background, recognizer.least_frames
        self._resolvers = () if scaling.resolver is None else (scaling.resolver.facts,)
        self.models = (*self._resolvers, *recognizer.models)

    def indices(self, num_frames: int) -> Array:
        """Places of the frames that the recognizer looks at, and of the neighbours that super-resolution may need."""
        wanted = self.recognizer.indices(num_frames).tolist()
        reach = 0 if self.scaling.resolver is None else self.scaling.resolver.reach
        return np.array(needed_frames(wanted, num_frames, reach))

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        images = {place: frame.image for place, frame in frames.items()}
        scaled = self.scaling.some(images, self.recognizer.indices(num_frames).tolist())
        found = self.recognizer({place: replace(frames[place], image=image) for place, image in scaled.items()}, num_frames)
        return replace(found, models=(*self._resolvers, *found.models))


def scaled(recognizer: ActionRecognizer, scaling: Scaling | None) -> ActionRecognizer:
    """The recognizer behind a scaling, where there is one."""
    return recognizer if scaling is None else ScaledRecognizer(recognizer, scaling)
