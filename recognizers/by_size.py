"""Routing by size: small videos and small persons go to recognizers that were trained on small pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from parsing.configs import Choice, StageConfig, config
from parsing.errors import InputError
from parsing.networks.graph_methods import loaded_when_called
from parsing.stages import ActionRecognizer
from parsing.types import Branch, BranchFacts, ModelFacts
from recognizers import RECOGNIZERS
from recognizers.decoding import Decoded, ensemble_thresholds
from recognizers.ensemble import Ensemble
from recognizers.groups import NO_GROUPS, ExclusiveGroups
from recognizers.superres.scaling import ScaledRecognizer, ScalingConfig
from recognizers.windows import WindowConfig, check_no_gaps


@dataclass(frozen=True)
class Route:
    """A recognizer, the branch that the parse names it by, and the windows that longer videos are cut into for it."""

    branch: Branch
    recognizer: ActionRecognizer
    windows: WindowConfig


@dataclass(frozen=True)
class BySize:
    """Chooses between two recognizers by how many pixels there are to see; either may be missing.

    Args:
        limit_px: the longer side up to which pictures are small; infinite, where all are.
    """

    large: Route | None
    small: Route | None = None
    limit_px: float = 0

    def __call__(self, side_px: float) -> Route | None:
        """The route of pictures with this longer side; None where nothing recognizes them."""
        return self.small if self.small is not None and side_px <= self.limit_px else self.large

    def explain(self, width: int, height: int) -> BranchFacts | None:
        """Which branch scores a video of this size, and why; None where there is only one."""
        if self.small is None:
            return None
        is_small = max(width, height) <= self.limit_px
        limit = f"{'at most' if is_small else 'above'} {self.limit_px}"
        why = "as all sizes are (when: always)" if math.isinf(self.limit_px) else limit
        return BranchFacts("low_res" if is_small else "recognizers", f"{width} x {height} px, {why}")

    def models(self, used: Collection[tuple[Branch, ModelFacts]]) -> tuple[ModelFacts, ...]:
        """All components, each with whether it is among those that a branch used."""
        large = () if self.large is None else self.large.recognizer.models
        found = [replace(model, used=("recognizers", model) in used) for model in large]
        if self.small is not None:
            limit = None if math.isinf(self.limit_px) else self.limit_px
            by_size = ModelFacts("low_res", "by_size", None, json.dumps({"max_side_px": limit}), any(b == "low_res" for b, _ in used))
            small = (replace(model, stage="low_res", used=("low_res", model) in used) for model in self.small.recognizer.models)
            found += [by_size, *small]
        return tuple(found)


@config
class LowResConfig:
    """Which pictures count as small, and what recognizes their actions.

    Args:
        when: `auto`, pictures up to `max_side_px`; `always`; `never`.
        max_side_px: the longer side of a video, or of the square around a person.
        recognizers: multi-label recognizers; their logits are averaged by `weights`, alike by default.
        scaling: what becomes of small pictures first; that of the networks' training.
        thresholds: file of `pipelines.evaluate tinyvirat --fit-thresholds`; empty takes 0.5 for all.
        groups: file of exclusive classes of which one is kept; empty for none.
        at_least_one: whether the best action holds where none passes its threshold.
        window_s, every_s, most_frames: windows of longer videos, as in `WindowConfig`.
    """

    when: Literal["auto", "always", "never"] = "auto"
    max_side_px: Annotated[int, Field(ge=1, le=4096)] = 128
    recognizers: tuple[Annotated[StageConfig, Choice(RECOGNIZERS)], ...] = ()
    weights: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = ()
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    thresholds: str = ""
    groups: str = ""
    at_least_one: bool = True
    window_s: Annotated[float, Field(gt=0, le=60)] = 4.0
    every_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    most_frames: Annotated[int, Field(ge=1, le=4096)] = 512

    def __post_init__(self) -> None:
        check_no_gaps(self.window_s, self.every_s)

    @property
    def limit_px(self) -> float:
        return math.inf if self.when == "always" else self.max_side_px

    def build(self, device: str) -> Route | None:
        """Raises InputError: members disagree in their actions, or thresholds or groups are of others."""
        if self.when == "never":
            return None
        with loaded_when_called():
            members: list[ActionRecognizer] = [option.build(device) for option in self.recognizers]
        self._check(members)
        names = members[0].action_names
        scaled = ScaledRecognizer(Ensemble(members, self.weights or None), self.scaling.build(device))
        groups = ExclusiveGroups.load(Path(self.groups), names) if self.groups else NO_GROUPS
        decoded = Decoded(scaled, ensemble_thresholds(self.thresholds, names, len(members)), groups, self.at_least_one)
        # Frames keep their size: how they are scaled is the recognizer's to say.
        windows = WindowConfig(self.window_s, self.every_s, self.most_frames, most_px=4096)
        return Route("low_res", decoded, windows)

    def _check(self, members: Sequence[ActionRecognizer]) -> None:
        if not members:
            raise InputError("low_res: recognizers: none given, expected at least one, or `when: never`")
        if self.weights and (len(self.weights) != len(members) or not any(self.weights)):
            raise InputError(f"low_res: weights: {list(self.weights)} for {len(members)} recognizers, expected as many, one above 0")
        for item, member in zip(self.recognizers, members, strict=True):
            where = f"low_res: {getattr(item, 'weights', item.name)}"
            if not member.multi_label:
                raise InputError(f"{where}: is single-label; expected a multi-label network")
            if member.action_names != members[0].action_names:
                odd = sorted(set(member.action_names) ^ set(members[0].action_names)) or ["their order"]
                raise InputError(f"{where}: other actions than the first recognizer's: {odd[0]!r}")
