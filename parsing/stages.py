"""What each stage must be able to do. A stage is a callable over a batch; any object that fits may stand in.

Stages take frames rather than bare images so that `oracle` and `replay` can look up what belongs to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from parsing.tracks import Tracklet
from parsing.types import ActionScores, Array, Detections, Frame, FrameParse, ModelFacts, Parts, PartStates, Poses
from parsing.vocabulary import Vocabulary

Item = tuple[Frame, FrameParse | None]  # a frame, and its parse where it is a key frame


@runtime_checkable
class ExpectsPictures(Protocol):
    """A stage that gets ready for the pictures of a video, of (height, width), while other things are done."""

    def expect(self, image_hw: tuple[int, int]) -> None: ...


class PersonDetector(Protocol):
    facts: ModelFacts

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """Persons of each frame (class 0), best first."""


class Tracker(Protocol):
    facts: ModelFacts

    def __call__(self, items: Iterable[Item], *, waits: bool = True) -> Iterator[Item]:
        """The same frames in the same order, the persons of key frames with `track_ids`; each call serves one video.

        A person who begins a track has its id from the first key frame on: key frames wait until it is known whether their
        new persons are followed. Persons who are not have -1. Without `waits`, as live sources need it, each item is given
        before the next one is asked for, and new persons have -1 until they are known to be followed.
        """


class PoseEstimator(Protocol):
    """No stage of a pipeline of its own: part detectors ask it."""

    facts: ModelFacts

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        """Keypoints of each person of each frame, in frame pixels."""


class PartDetector(Protocol):
    facts: ModelFacts
    part_names: tuple[str, ...]
    swap: Array  # (P,) the part that each part is in a mirrored image

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        """At most one box per part for each person of each frame, in frame pixels."""


class PartStateRecognizer(Protocol):
    facts: ModelFacts
    vocabulary: Vocabulary

    def __call__(
        self, frames: Sequence[Frame], persons: Sequence[Detections], parts: Sequence[Parts], actions: Array | None
    ) -> list[PartStates]:
        """States of each part. `actions` is the (A,) distribution over `vocabulary.actions`, None if unknown."""


class StateFilter(Protocol):
    facts: ModelFacts

    def check(self, vocabulary: Vocabulary) -> None:
        """Raises InputError where the states that it filters are not those it was made for."""

    def __call__(self, items: Iterable[Item], *, waits: bool = True) -> Iterator[Item]:
        """The same frames in the same order; key frames, which alone have a parse, with the states of a track seen over time.

        Without `waits` each item is given before the next one is asked for: time is then what came before alone.
        """


class ActionRecognizer(Protocol):
    """One protocol for networks and for what is composed of them, single-label and multi-label alike.

    `multi_label` says whether several actions may hold at once. Classes of `background` compete with the actions and never
    hold. Clips of fewer than `least_frames` frames show too little to be recognized. `models` are the components that
    it is made of.
    """

    action_names: tuple[str, ...]
    multi_label: bool
    background: tuple[str, ...]
    least_frames: int

    models: tuple[ModelFacts, ...]

    def indices(self, num_frames: int) -> Array:
        """(K,) sorted places of the frames that it looks at in a clip of `num_frames` frames (>= 1)."""

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        """Scores of one clip, from the frames by their place in it: at least those of `indices(num_frames)`."""


class PartActionRecognizer(Protocol):
    """Single-label actions of persons, from their parts and part states over time; `background` as of an `ActionRecognizer`."""

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def action_names(self) -> tuple[str, ...]: ...

    @property
    def background(self) -> tuple[str, ...]: ...

    def check(self, vocabulary: Vocabulary) -> None:
        """Raises InputError where the parts or states of a pipeline are not those that it was made for."""

    def __call__(self, windows: Sequence[Sequence[Tracklet]]) -> list[ActionScores]:
        """Scores of each window, from the tracks of its persons, the most prominent first; a window of one says what that one does."""
