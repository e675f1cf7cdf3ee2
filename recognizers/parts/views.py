"""Random views of the tracks of a clip, for training."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor, from_numpy

from parsing.configs import Share, config
from parsing.tracks import Tracklet
from parsing.types import Array, Detections, Parts, PartStates
from recognizers.parts.data import PartClips
from recognizers.parts.features import TrackFeatures, nothing, track_features
from recognizers.parts.network import PartTracksArchitecture
from recognizers.parts.stage import stacked

LEAST_SIDE_PX = 0.5  # noise leaves a box a box
Item = tuple[list[TrackFeatures], int]


@config
class PartViewConfig:
    """How training clips are changed.

    Args:
        flip: share of clips that are mirrored, left and right parts with them, with the labels that a mirror changes.
        speed: times are divided by a factor between 1 / (1 + speed) and 1 + speed.
        shortest: of a random part of the clip, over its length.
        jitter_s: deviation of each time, as of cameras whose clocks are not even.
        drop_frames, drop_persons: most that may go; how many is drawn for each clip.
        drop_parts: share of the parts that are hidden over the whole clip; of single boxes as many again.
        drop_states: share of the clips whose part states are not known.
        box_noise: deviation of each side of a box, in heights of the person.
    """

    flip: Share = 0.5
    speed: Annotated[float, Field(ge=0, le=3)] = 0.3
    shortest: Annotated[float, Field(gt=0, le=1)] = 0.6
    jitter_s: Annotated[float, Field(ge=0, le=1)] = 0.01
    drop_frames: Share = 0.5
    drop_persons: Share = 0.3
    drop_parts: Share = 0.08
    drop_states: Share = 0.15
    box_noise: Annotated[float, Field(ge=0, le=1)] = 0.015


class PartViews:
    """Random views of clips, by the trainer's (index, seed).

    Args:
        targets: (N,) id of each clip's action.
        mirrors: (A,) the action that each one is in a mirror.
    """

    def __init__(
        self, clips: PartClips, targets: Array, mirrors: Array, architecture: PartTracksArchitecture, views: PartViewConfig
    ) -> None:
        self.clips, self.targets, self.mirrors, self.architecture, self.views = clips, targets, mirrors, architecture, views

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        index, random = key[0], np.random.default_rng(key[1])
        grid, vocabulary = self.architecture.grid, self.clips.vocabulary
        window = list(self.clips.windows[index][: self.architecture.most_persons])
        if len(window) > 1 and random.random() < self.views.drop_persons:
            del window[int(random.integers(len(window)))]
        window = self._changed(window, random)
        flip, target = random.random() < self.views.flip, int(self.targets[index])
        if not window:
            found = [nothing(grid, len(vocabulary.parts), len(vocabulary.states))]
        else:
            start_s = min(track.times_s[0] for track in window) - random.uniform(0, grid.step_s)
            found = [track_features(track, grid, start_s) for track in window]
        swap = vocabulary.swap
        return ([one.mirrored(swap) for one in found], int(self.mirrors[target])) if flip else (found, target)

    def _changed(self, window: list[Tracklet], random: np.random.Generator) -> list[Tracklet]:
        """A part of the clip, faster or slower, with what detectors may get wrong."""
        if not window:
            return []
        v, begin_s = self.views, min(track.times_s[0] for track in window)
        end_s = max(track.times_s[-1] for track in window)
        speed = (1 + v.speed) ** random.uniform(-1, 1)
        longest_s = min(1.0, self.architecture.grid.length_s * speed / max(end_s - begin_s, 1e-6)) * (end_s - begin_s)
        length_s = longest_s * random.uniform(v.shortest, 1)
        first_s = begin_s + random.uniform(0, end_s - begin_s - length_s)
        share, keeps_states = random.uniform(0, v.drop_frames), random.random() >= v.drop_states
        tracks = []
        for track in window:
            within = (track.times_s >= first_s - 1e-6) & (track.times_s <= first_s + length_s + 1e-6)
            kept = np.flatnonzero(within)
            if len(kept):
                kept = kept[np.sort(random.permutation(len(kept))[: max(1, round(len(kept) * (1 - share)))])]
                tracks.append(self._disturbed(track.select(kept), speed, keeps_states, random))
        return tracks or [window[0].select(np.array([int(random.integers(len(window[0])))]))]

    def _disturbed(self, track: Tracklet, speed: float, keeps_states: bool, random: np.random.Generator) -> Tracklet:
        v, num_parts = self.views, track.parts.visible.shape[1]
        steps = np.diff(track.times_s, append=np.inf)
        room = np.minimum(steps, np.r_[np.inf, steps[:-1]]) / 3  # times keep their order
        times_s = (track.times_s + np.clip(random.normal(0, v.jitter_s, len(track)), -room, room)) / speed
        noise_px = v.box_noise * np.maximum(track.persons.xyxy[:, 3] - track.persons.xyxy[:, 1], 1.0)
        persons = _noisy(track.persons.xyxy, noise_px[:, None], random)
        hidden = (random.random(num_parts) < v.drop_parts) | (random.random((len(track), num_parts)) < v.drop_parts)
        visible = track.parts.visible & ~hidden
        boxes = _noisy(track.parts.xyxy, noise_px[:, None, None], random) * visible[..., None]
        parts = Parts(boxes, track.parts.scores * visible, visible)
        states = PartStates(track.states.scores * (visible[..., None] & keeps_states))
        return Tracklet(times_s, Detections(persons, track.persons.scores, track.persons.class_ids), parts, states, track.image_hw)


def _noisy(xyxy: Array, deviation_px: Array, random: np.random.Generator) -> Array:
    """Boxes (…, 4) whose sides were moved."""
    moved = xyxy + random.normal(0, 1, xyxy.shape) * deviation_px
    moved[..., 2:] = np.maximum(moved[..., 2:], moved[..., :2] + LEAST_SIDE_PX)
    return np.asarray(moved)


def collate(items: list[Item]) -> tuple[Tensor, Tensor, Tensor]:
    """Parts, persons and targets (B,) of a batch."""
    parts, persons = stacked([found for found, _ in items])
    return from_numpy(parts), from_numpy(persons), from_numpy(np.array([target for _, target in items]))
