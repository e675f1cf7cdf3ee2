"""The values that flow between stages: frozen, checked at construction, numpy inside.

Boxes are xyxy in pixels of the frame in display orientation. N counts persons of one frame,
P the parts of the vocabulary, S its states.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from parsing.keypoints import LAYOUTS, counts_text

Array = npt.NDArray[Any]
Branch = Literal["recognizers", "low_res"]
Completeness = bool | Literal["unknown"]


def _check(
    owner: object, name: str, shape: tuple[int | None, ...], dtype: npt.DTypeLike, low: float | None = None, high: float | None = None
) -> None:
    """Bring a column to its dtype, then check its shape (None = any length) and its range."""
    value = np.asarray(getattr(owner, name), dtype=dtype)
    label = f"{type(owner).__name__}.{name}"
    fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape, strict=False))
    if not fits:
        wanted = tuple("any" if length is None else length for length in shape)
        raise ValueError(f"{label} has shape {value.shape}, expected {wanted}")
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ValueError(f"{label} holds a value that is not finite")
    if value.size and ((low is not None and value.min() < low) or (high is not None and value.max() > high)):
        raise ValueError(f"{label} spans [{value.min()}, {value.max()}], expected [{low}, {high}]")
    object.__setattr__(owner, name, value)


class _Columns:
    """Arrays of equal length that are selected together."""

    def __repr__(self) -> str:
        shapes = ", ".join(f"{f.name}={getattr(getattr(self, f.name), 'shape', None)}" for f in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({shapes})"

    def select(self, index: Array) -> Self:
        """The rows that `index` (integers or a boolean mask over N) names, in its order."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{name: None if value is None else value[index] for name, value in columns.items()})


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture.

    Args:
        video: name of the source file, which `oracle` and `replay` stages look frames up by.
        index: 0-based position in display order.
        time_s: presentation time from the stream, in seconds from its first frame.
        image: (H, W, 3) uint8 RGB in display orientation.
    """

    video: str
    index: int
    time_s: float
    image: Array

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"Frame.image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")

    @property
    def image_hw(self) -> tuple[int, int]:
        return int(self.image.shape[0]), int(self.image.shape[1])

    def __repr__(self) -> str:
        return f"Frame({self.video!r}, index={self.index}, time_s={self.time_s:.3f}, image={self.image.shape})"


@dataclass(frozen=True, eq=False, repr=False)
class Detections(_Columns):
    """Boxes of one frame: xyxy (N, 4) px, scores (N,) in [0, 1], class_ids (N,), track_ids (N,) or None."""

    xyxy: Array
    scores: Array
    class_ids: Array
    track_ids: Array | None = None

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        _check(self, "xyxy", (n, 4), np.float32)
        _check(self, "scores", (n,), np.float32, 0, 1)
        _check(self, "class_ids", (n,), np.int64, 0)
        if self.track_ids is not None:
            _check(self, "track_ids", (n,), np.int64)

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0))

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True, eq=False, repr=False)
class Parts(_Columns):
    """Part boxes of the persons of one frame: xyxy (N, P, 4) px, scores (N, P), visible (N, P) bool.

    The box of a part that is not visible is all zeros and its score is 0.
    """

    xyxy: Array
    scores: Array
    visible: Array

    def __post_init__(self) -> None:
        n, p = self.xyxy.shape[:2]
        _check(self, "xyxy", (n, p, 4), np.float32)
        _check(self, "scores", (n, p), np.float32, 0, 1)
        _check(self, "visible", (n, p), np.bool_)

    @classmethod
    def empty(cls, num_persons: int, num_parts: int) -> Self:
        """No visible part for each of `num_persons` persons."""
        shape = (num_persons, num_parts)
        return cls(np.zeros((*shape, 4)), np.zeros(shape), np.zeros(shape, bool))

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True, eq=False, repr=False)
class Poses(_Columns):
    """Keypoints of the persons of one frame: keypoints (N, K, 3) x, y in px and score, in an order of `parsing.keypoints`."""

    keypoints: Array

    def __post_init__(self) -> None:
        _check(self, "keypoints", (None, None, 3), np.float32)
        if self.keypoints.shape[1] not in LAYOUTS:
            raise ValueError(f"Poses.keypoints has shape {self.keypoints.shape}, expected {counts_text()} keypoints")

    def __len__(self) -> int:
        return len(self.keypoints)


@dataclass(frozen=True, eq=False, repr=False)
class PartStates(_Columns):
    """Independent probabilities of the states of every part: scores (N, P, S) in [0, 1].

    Several states of a part may hold at once; a state that the vocabulary does not allow for a part scores 0.
    """

    scores: Array

    def __post_init__(self) -> None:
        _check(self, "scores", (None, None, None), np.float32, 0, 1)

    @classmethod
    def empty(cls, num_persons: int, num_parts: int, num_states: int) -> Self:
        return cls(np.zeros((num_persons, num_parts, num_states)))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class FrameParse:
    """Everything that was seen in one frame; the three columns describe the same N persons in the same order.

    `key` tells a frame that the networks saw from one whose boxes were carried over from its neighbours.
    """

    index: int
    time_s: float
    persons: Detections
    parts: Parts
    states: PartStates
    key: bool = True

    def __post_init__(self) -> None:
        lengths = (len(self.persons), len(self.parts), len(self.states))
        if len(set(lengths)) != 1 or self.parts.xyxy.shape[1] != self.states.scores.shape[1]:
            raise ValueError(f"FrameParse {self.index} disagrees: {self.persons}, {self.parts}, {self.states}")


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a source: size in display orientation, rotation in degrees, duration in seconds.

    `frames_declared` is None where the container does not say; `decode_errors` counts packets and frames lost.
    `rotation` is clockwise, after the mirroring of left and right where the file asks for one (`mirrored`).
    `pixel_aspect` is the width of a stored pixel over its height, `hdr` the curve whose pictures are tone-mapped to
    standard dynamic range. Of a live source, `frames_decoded` counts `frames_dropped` too, which came while the networks
    were busy; `reconnects` says how often it was connected to again, `started_at` when its first frame came (ISO 8601, UTC).
    """

    name: str
    width: int
    height: int
    rotation: int
    fps: float
    duration_s: float
    frames_declared: int | None
    frames_decoded: int
    decode_errors: int
    mirrored: bool = False
    pixel_aspect: float = 1.0
    hdr: Literal["pq", "hlg"] | None = None
    frames_dropped: int = 0
    reconnects: int = 0
    started_at: str | None = None


@dataclass(frozen=True, eq=False)
class ActionScores:
    """What a recognizer finds in one clip: probabilities (A,) in [0, 1] of its actions, holds (A,) bool.

    Single-label: the probabilities sum to one, and the best action holds, or none where the best is background.
    Multi-label: each action has a probability of its own, and any number of them may hold. `models` are the components
    that took part.
    """

    probabilities: Array
    holds: Array
    models: tuple[ModelFacts, ...] = ()

    def __post_init__(self) -> None:
        _check(self, "probabilities", (None,), np.float32, 0, 1)
        _check(self, "holds", self.probabilities.shape, np.bool_)

    @classmethod
    def of(cls, probabilities: Array, multi_label: bool, models: tuple[ModelFacts, ...] = (), background: Collection[int] = ()) -> Self:
        """The best one of (A,) single-label probabilities holds; of multi-label ones, all those above one half.

        Args:
            background: places of the classes that never hold.
        """
        places = np.arange(len(probabilities))
        holds = np.asarray(probabilities) > 0.5 if multi_label else places == np.argmax(probabilities)
        return cls(probabilities, holds & ~np.isin(places, list(background)), models)

    def __len__(self) -> int:
        return len(self.probabilities)


@dataclass(frozen=True, eq=False)
class ActionWindow:
    """What a branch of recognizers gave between two times, in seconds: probabilities (A,) of its actions."""

    start_s: float
    end_s: float
    probabilities: Array
    branch: Branch = "recognizers"

    def __post_init__(self) -> None:
        _check(self, "probabilities", (None,), np.float32, 0, 1)


@dataclass(frozen=True)
class ActionScore:
    """One action of a video or a track between two times, in seconds, and which branch of recognizers found it."""

    label: str
    score: float
    start_s: float
    end_s: float
    branch: Branch = "recognizers"


def main_action(actions: Iterable[ActionScore]) -> ActionScore | None:
    """The action that holds for most of the time, in the span where it scores best; of equally long ones the best."""
    total_s: dict[str, float] = {}
    best: dict[str, ActionScore] = {}
    for action in actions:
        total_s[action.label] = total_s.get(action.label, 0.0) + action.end_s - action.start_s
        best[action.label] = max(action, best.get(action.label, action), key=lambda one: one.score)
    return max(best.values(), key=lambda action: (total_s[action.label], action.score), default=None)


@dataclass(frozen=True)
class BranchFacts:
    """Which branch of recognizers scored the whole video, and why."""

    name: Branch
    reason: str


@dataclass(frozen=True)
class ModelFacts:
    """Which component took part: its stage, its name in the stage's table, sha256 of its weights, its config as JSON.

    `used` is False for a recognizer that the actions were found without: those before it were sure, or it serves
    pictures of other sizes. `note` says what the pipeline made of the component, where that needs words.
    """

    stage: str
    name: str
    weights_sha256: str | None
    config: str
    used: bool = True
    note: str = ""
