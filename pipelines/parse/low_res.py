"""The low-resolution branch: many labels for small videos and small persons, window after window."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.special import expit

from parsing.configs import config, parse_config, read_yaml
from parsing.errors import InputError
from parsing.types import ActionScore, Array, Frame, ModelFacts, VideoFacts
from pipelines.parse.timeline import Timeline
from pipelines.parse.tubes import RATE_TOLERANCE
from recognizers.multilabel.groups import NO_GROUPS, ExclusiveGroups, decode
from recognizers.multilabel.thresholds import ThresholdsConfig
from recognizers.scoring import scale_frames
from recognizers.superres.scaling import Scaling, ScalingConfig
from recognizers.video import VideoRecognizer, VideoRecognizerConfig

SHIPPED_THRESHOLDS = "default/low_res_thresholds"


@config
class LowResConfig:
    """When the branch speaks, and of what it is made.

    Args:
        when: `auto`, of pictures up to `max_side_px`; `always`; `never`.
        max_side_px: the longer side of a video, or of the square around a person.
        recognizers: networks whose actions may hold together; their logits are averaged by `weights`, alike by default.
        scaling: what becomes of small pictures first; that of the networks' training.
        thresholds: file of `pipelines.evaluate tinyvirat --fit-thresholds`; empty takes 0.5 for all.
        groups: file of exclusive classes of which one is kept; empty for none.
        at_least_one: the best action stands where none passes its threshold.
        window_s, every_s: of longer videos: what is looked at together, and how far windows lie apart, at most `window_s`.
        most_frames: that a window may hold; frames that come faster are left out.
    """

    when: Literal["auto", "always", "never"] = "auto"
    max_side_px: Annotated[int, Field(ge=1)] = 128
    recognizers: tuple[dict[str, Any], ...] = ()
    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    thresholds: str = ""
    groups: str = ""
    at_least_one: bool = True
    window_s: Annotated[float, Field(gt=0, le=60)] = 4.0
    every_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    most_frames: Annotated[int, Field(ge=1, le=4096)] = 512

    def __post_init__(self) -> None:
        if self.every_s > self.window_s:
            raise ValueError(f"every_s {self.every_s} leaves gaps between windows of {self.window_s} s")

    def build(self, device: str) -> LowResBranch | None:
        """Raises InputError: members disagree in their actions, or thresholds or groups are of others."""
        if self.when == "never":
            return None
        members = [
            parse_config(VideoRecognizerConfig, item, f"low_res: recognizers.{i}").build(device) for i, item in enumerate(self.recognizers)
        ]
        self._check(members)
        names = members[0].action_names
        given = self.weights or (1.0,) * len(members)
        return LowResBranch(
            members,
            np.array(given) / sum(given),
            self.scaling.build(device),
            Decoder(_thresholds(self.thresholds, names, len(members)), _groups(self.groups, names), self.at_least_one),
            replace(self, recognizers=()),
        )

    def _check(self, members: Sequence[VideoRecognizer]) -> None:
        if not members:
            raise InputError("low_res: recognizers: none given, expected at least one, or `when: never`")
        if self.weights and (len(self.weights) != len(members) or not any(self.weights)):
            raise InputError(f"low_res: weights: {list(self.weights)} for {len(members)} recognizers, expected as many, one above 0")
        for item, member in zip(self.recognizers, members, strict=True):
            where = f"low_res: {item.get('weights', item.get('name'))}"
            if not member.multi_label:
                raise InputError(f"{where}: is single-label; expected a multi-label network")
            if member.action_names != members[0].action_names:
                odd = sorted(set(member.action_names) ^ set(members[0].action_names)) or ["their order"]
                raise InputError(f"{where}: other actions than the first recognizer's: {odd[0]!r}")


def _thresholds(name: str, classes: Sequence[str], num_members: int) -> Array:
    if not name:
        return np.full(len(classes), 0.5)
    shipped = Path(str(resources.files("recognizers"))) / "weights" / "low_res_thresholds.yaml"
    path = shipped if name == SHIPPED_THRESHOLDS else Path(name)
    fitted = parse_config(ThresholdsConfig, read_yaml(path), str(path))
    odd = sorted(set(fitted.thresholds) ^ set(classes))
    if odd:
        raise InputError(f"{path}: thresholds of other classes than the recognizer's: {odd[0]!r}")
    if num_members > 1 and fitted.mix != "logits":
        raise InputError(f"{path}: fitted on averages of {fitted.mix}; low_res averages the logits of its recognizers")
    return fitted.values(classes)


def _groups(name: str, classes: Sequence[str]) -> ExclusiveGroups:
    return ExclusiveGroups.load(Path(name), classes) if name else NO_GROUPS


@dataclass(frozen=True, eq=False)
class Decoder:
    """Which of (C,) probabilities hold."""

    thresholds: Array
    groups: ExclusiveGroups
    at_least_one: bool

    def __call__(self, scores: Array) -> Array:
        """Ids of those that hold, best first."""
        held = np.flatnonzero(decode(scores[None], self.thresholds, self.groups, self.at_least_one)[0])
        return held[np.argsort(-scores[held], kind="stable")]


class LowResBranch:
    """Super-resolution, networks and thresholds in a row."""

    def __init__(
        self, members: Sequence[VideoRecognizer], weights: Array, scaling: Scaling, decoder: Decoder, options: LowResConfig
    ) -> None:
        self.members, self.weights, self.scaling, self.decoder, self.options = members, weights, scaling, decoder, options
        self.action_names = members[0].action_names
        resolver = () if scaling.resolver is None else (replace(scaling.resolver.facts, stage="low_res"),)
        whole = ModelFacts("low_res", "branch", None, json.dumps({"when": options.when, "max_side_px": options.max_side_px}))
        self.models = (whole, *resolver, *(replace(model, stage="low_res") for member in members for model in member.models))

    def speaks_of(self, side_px: float) -> bool:
        """Whether a picture with this longer side is the branch's."""
        return self.options.when == "always" or side_px <= self.options.max_side_px

    def reason(self, facts: VideoFacts) -> str:
        """Why the branch speaks of a video, or does not."""
        size = f"{facts.width} x {facts.height} px"
        if self.options.when == "always":
            return f"{size}, and low_res is asked always"
        return f"{size}, {'at most' if self.speaks_of(max(facts.width, facts.height)) else 'above'} {self.options.max_side_px}"

    def scores(self, frames: Sequence[Frame]) -> Array:
        """(C,) probabilities of what the frames of a window show."""
        sampled = [member.clips(len(frames)) for member in self.members]
        # Once for all members: super-resolution costs more than they do.
        seen = scale_frames(self.scaling, dict(enumerate(frames)), np.concatenate([clip for clips in sampled for clip in clips]))
        total = np.zeros(len(self.action_names))
        for member, weight, clips in zip(self.members, self.weights, sampled, strict=True):
            total += weight * member.logits([[seen[int(place)] for place in clip] for clip in clips]).mean(0)
        return np.asarray(expit(total))

    def labels(self, frames: Sequence[Frame]) -> list[tuple[str, float]]:
        """What the frames of a window show, best first."""
        scores = self.scores(frames)
        return [(self.action_names[i], float(scores[i])) for i in self.decoder(scores)]

    def actions(self, frames: Iterable[Frame]) -> tuple[ActionScore, ...]:
        """What a video shows, best first: one window where it is short, else windows that overlap.

        Frames of at most one window are kept, and no more than `most_frames`.
        """
        options, timeline, window = self.options, Timeline(), deque[Frame]()
        begin_s, end_s, fresh = 0.0, 0.0, False
        for frame in frames:
            while window and frame.time_s >= begin_s + options.window_s:
                if fresh:
                    timeline.add(self.labels(window), begin_s, begin_s + options.window_s, "low_res")
                begin_s, fresh = begin_s + options.every_s, False
                while window and window[0].time_s < begin_s:
                    window.popleft()
            end_s = frame.time_s
            if not window:  # after a gap: windows begin every `every_s` all the same
                begin_s += (end_s - begin_s) // options.every_s * options.every_s
            elif end_s - window[-1].time_s < RATE_TOLERANCE * options.window_s / options.most_frames or len(window) == options.most_frames:
                continue
            window.append(frame)
            fresh = True
        if fresh:
            timeline.add(self.labels(window), begin_s, end_s, "low_res")
        return tuple(sorted(timeline.actions, key=lambda action: -action.score))
