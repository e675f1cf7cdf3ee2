"""Which videos of a data set without a validation split are held out: the one place that decides it, for every stage."""

from __future__ import annotations

import difflib
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from parsing.configs import config, parse_config, read_yaml
from parsing.errors import InputError

SPLIT_FILE = "split.yaml"
# How names of clips end that were cut from one video: UCF101's c01, Kinetics' seconds, HMDB51's quality and number, and plain words.
_CUT = re.compile(r"(_c\d+|_\d{6}_\d{6}|_(goo|med|bad)_\d+|[_-](clip|part|scene|segment|seg|shot)[_-]?\d+)$", re.IGNORECASE)
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


@config
class SplitConfig:
    """`split.yaml` in the folder of a data set; all stages that train on it read this.

    Args:
        val_share: of the videos that are held out for validation.
    """

    val_share: Annotated[float, Field(gt=0, lt=1)] = 0.1


def read_val_share(root: Path) -> float:
    """The share of videos of the data set in `root` that is held out: as its `split.yaml` says, or a tenth.

    Raises:
        InputError: the file does not fit.
    """
    file = root / SPLIT_FILE
    return parse_config(SplitConfig, read_yaml(file), str(file)).val_share if file.is_file() else SplitConfig().val_share


def source_of(video: str) -> str:
    """The video that a clip was cut from, by its name without suffix: `v_Run_g01_c02` is from `v_Run_g01`."""
    return _CUT.sub("", video)


def held(video: str, share: float) -> bool:
    """Whether a video belongs to the share that is held out.

    The CRC-32 of the source's name decides, so it is always the same videos, clips of one source stay together, and a
    smaller share is a part of a larger one.
    """
    return _position(video) < share


def hold_out(videos: Sequence[tuple[str, str]], share: float) -> set[str]:
    """The sources to hold out of videos of several classes: as `held` says, but one at least and not all of each class.

    Args:
        videos: class and name of each.
    """
    by_class: dict[str, set[str]] = defaultdict(set)
    for label, video in videos:
        by_class[label].add(source_of(video))
    chosen = set()
    for sources in by_class.values():
        order = sorted(sources, key=_position)
        count = sum(held(source, share) for source in order)
        chosen.update(order[: min(max(count, 1), len(order) - 1)])
    return chosen


def split_name(text: str, where: str) -> str:
    """`train`, `val` or `test`, from the names that data sets give them, in any case; other splits keep their own name.

    Raises:
        InputError: the name looks like one of the three that was mistyped.
    """
    name = text.strip().lower()
    found = next((split for split, names in _SPLITS.items() if name in names), None)
    if found is None and difflib.get_close_matches(name, [each for names in _SPLITS.values() for each in names], cutoff=0.75):
        raise InputError(f"{where}: split {text!r:.40}, expected train, val or test")
    return found or name


def _position(video: str) -> float:
    return zlib.crc32(source_of(video).encode()) / 2**32
