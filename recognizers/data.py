"""Labelled clips: a CSV of files, their actions and splits; clips decoded once into memory."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from parsing.augment import jitter_colour
from parsing.errors import InputError
from parsing.types import Array, Frame
from parsing.video import count_frames, read_nearest
from recognizers.sampling import random_segments, snippet_frames
from recognizers.views import MOST_ASPECT

log = logging.getLogger(__name__)
COLUMNS = ("file", "label", "split")


@dataclass(frozen=True)
class ClipRecord:
    """One labelled clip.

    Args:
        scene_disjoint: whether no clip of the same scene stands in the other split.
        trainable: whether weights that are shipped may be trained on it.
    """

    path: Path
    label: str
    split: str
    scene_disjoint: bool = True
    trainable: bool = True


def read_clips(csv_path: Path) -> list[ClipRecord]:
    """The clips of a CSV with the columns file, label, split and, optionally, scene_disjoint and for_shipped_weights.

    Files are relative to the CSV. `for_shipped_weights` of `no` bars a clip from training.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    try:
        with csv_path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{csv_path}: column {missing[0]!r} is missing; expected {', '.join(COLUMNS)}")
            return [_record(csv_path.parent, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{csv_path}: cannot be read as CSV ({error})") from None


def _record(root: Path, row: dict[str, str]) -> ClipRecord:
    disjoint, shipped = row.get("scene_disjoint", "yes"), row.get("for_shipped_weights", "yes")
    return ClipRecord(root / row["file"], row["label"], row["split"], disjoint == "yes", shipped != "no")


def trainable_actions(records: Sequence[ClipRecord]) -> tuple[str, ...]:
    """Actions that have a clip to train on and one to validate on, sorted."""
    train = {record.label for record in records if record.split == "train" and record.trainable}
    return tuple(sorted(train & {record.label for record in records if record.split == "val"}))


@dataclass(frozen=True, eq=False)
class CachedClip:
    """Snippets spread over a clip, (N, snippet, H, W, 3) uint8 RGB, and the id of its action."""

    snippets: Array = field(repr=False)
    label_id: int


def cache_clips(
    records: Sequence[ClipRecord], action_names: Sequence[str], positions: int, snippet: int, step: int, short_side_px: int
) -> list[CachedClip]:
    """Decode every clip once, `positions` snippets spread evenly; clips that cannot be read are reported and left out."""
    cached = []
    for record in records:
        try:
            frames = spread_snippets(record.path, positions, snippet, step)
        except InputError as error:
            log.warning("%s; left out", error)
            continue
        images = np.stack([_shrink(frame.image, short_side_px) for frame in frames])
        cached.append(CachedClip(images.reshape(-1, snippet, *images.shape[1:]), action_names.index(record.label)))
    return cached


def spread_snippets(path: Path, positions: int, snippet: int, step: int) -> list[Frame]:
    """Frames of snippets that are evenly spread over a clip, snippet after snippet."""
    num_frames = count_frames(path)
    starts = np.linspace(0, max(0, num_frames - 1), positions).round().astype(int)
    indices = snippet_frames(starts, num_frames, snippet, step)
    frames = read_nearest(path, indices)
    return [frames[int(index)] for index in indices]


def _shrink(image: Array, short_side_px: int) -> Array:
    scale = short_side_px / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


class ClipViews:
    """Random views for training: a frame of each segment, one crop, flip and change of colour for the whole clip."""

    def __init__(self, clips: Sequence[CachedClip], num_segments: int, size: int, smallest_crop: float) -> None:
        self.clips, self.num_segments, self.size, self.smallest_crop = clips, num_segments, size, smallest_crop

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Array, int]:
        index, seed = key
        clip = self.clips[index]
        random = np.random.default_rng(seed)
        picked = clip.snippets[random_segments(len(clip.snippets), self.num_segments, random)]
        picked = picked.reshape(-1, *picked.shape[2:])
        height, width = picked.shape[1:3]
        # A part of what testing looks at, its sides stretched a little against each other (multi-scale crop).
        share = random.uniform(self.smallest_crop, 1.0)
        limits = min(height, width * MOST_ASPECT), min(width, height * MOST_ASPECT)
        crop_h, crop_w = (max(8, round(min(limit, limit * share * random.uniform(0.87, 1.15)))) for limit in limits)
        top, left = int(random.integers(0, height - crop_h + 1)), int(random.integers(0, width - crop_w + 1))
        mirrored, colour_seed = random.random() < 0.5, int(random.integers(2**31))
        views = []
        for image in picked[:, top : top + crop_h, left : left + crop_w]:
            view = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
            # The same seed for every frame: the light of a scene does not flicker.
            views.append(jitter_colour(view[:, ::-1] if mirrored else view, np.random.default_rng(colour_seed)))
        return np.stack(views), clip.label_id


def collate(items: Sequence[tuple[Array, int]]) -> tuple[Tensor, Tensor]:
    """(B, T, 3, H, W) uint8 clips and (B,) labels."""
    clips = np.stack([clip for clip, _ in items])
    return torch.from_numpy(clips).permute(0, 1, 4, 2, 3), torch.tensor([label for _, label in items])
