"""The entries of parse.json, which its JSON Schema follows from."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AliasChoices, FailFast, Field

from parsing.configs import config
from parsing.types import Branch, Completeness

# 1.1 added actions of tracks, which recognizers were used, and the low-resolution branch. Since 1.2 `actions` are what
# holds at which time, and `action_windows` have the scores of all actions (before, `actions` were all of them); `complete`
# may be unknown; and the video says how its pictures were mirrored, stretched and tone-mapped. 1.3 counts what live sources
# lose.
SCHEMA_VERSION = "1.3"
Pixel = Annotated[float, Field(ge=-1e7, le=1e7)]  # beyond, float32 does not hold single pixels
T = TypeVar("T")
Entries = Annotated[list[T], FailFast()]  # the first that does not fit is told; a million errors are as large as the file
Box = tuple[Pixel, Pixel, Pixel, Pixel]
Score = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]  # the integers that every reader of JSON holds exactly
Rate = Annotated[float, Field(ge=0, le=1e9)]
Seconds = Annotated[float, Field(ge=-1e9, le=1e9)]


@config
class VideoEntry:
    """The source; `frames_declared` is null where the file does not say how many frames it shows.

    These were applied already: `mirrored`, left and right exchanged; `rotation` after it, in degrees clockwise;
    `pixel_aspect`, width over height of a stored pixel; `hdr`, tone-mapped to standard dynamic range from PQ or HLG.
    Of a live source: `frames_dropped` came while the networks were busy and stand among the decoded ones, but not in `frames`;
    `reconnects` counts how often the source was lost and found again; `started_at` is when its first frame came, in UTC.
    """

    name: str
    width: Count
    height: Count
    rotation: Annotated[int, Field(ge=-360, le=360)]
    fps: Rate
    duration_s: Rate
    frames_declared: Count | None
    frames_decoded: Count
    decode_errors: Count
    mirrored: bool = False
    pixel_aspect: float = 1.0
    hdr: Literal["pq", "hlg"] | None = None
    frames_dropped: Count = 0
    reconnects: Count = 0
    started_at: Annotated[str, Field(max_length=40)] | None = None


@config
class VocabularyEntry:
    """The labels that this parse can hold; `part_states` lists the states of each part.

    `low_res_actions` are those of the low-resolution branch, several of which may hold at once. `pairs` are left and right
    parts; null, as before them, pairs `left_x` with `right_x`. `exclusive` are groups of a part's states of which one holds at most.
    """

    name: str
    parts: list[str]
    states: list[str]
    part_states: dict[str, list[str]]
    actions: list[str]
    low_res_actions: list[str] = Field(default_factory=list)
    pairs: list[list[str]] | None = None
    exclusive: dict[str, list[list[str]]] = Field(default_factory=dict)


@config
class ActionEntry:
    """One action that holds between two times, and which branch of recognizers found it."""

    label: str
    score: Score
    start_s: Seconds
    end_s: Seconds
    branch: Branch = "recognizers"


@config
class ActionWindowEntry:
    """The scores of all actions in one window, above 0.0005, by name.

    Those of the `recognizers` exclude each other and sum to one, unless these are multi-label; those of `low_res` are
    independent.
    """

    start_s: Seconds
    end_s: Seconds
    branch: Branch
    scores: dict[str, Score]


@config
class BranchEntry:
    """Which branch of recognizers scored the whole video, and why."""

    name: Branch
    reason: str


@config
class StateEntry:
    """One state of a part; states are independent of each other."""

    label: str
    score: Score


@config
class PartEntry:
    """One body part; `box` is null where the part is not visible."""

    box: Box | None
    score: Score
    visible: bool
    states: Entries[StateEntry]


@config
class PersonEntry:
    """One person: box as x1, y1, x2, y2 in pixels, and parts by name. `track_id` is null where the person has no sure track."""

    track_id: Count | None
    box: Box
    score: Score
    parts: dict[str, PartEntry]


@config
class FrameEntry:
    """One frame; `key` is false where boxes were carried over from the frames that the networks saw."""

    index: Count
    time_s: Seconds
    key: bool
    persons: Entries[PersonEntry]


@config
class TrackEntry:
    """Where a track begins and ends, in how many frames it is seen, and what the person does, in order of time.

    `actions` is empty where actions of tracks were not wanted, or the track was seen too briefly.
    """

    track_id: Count
    start_s: Seconds
    end_s: Seconds
    first_frame: Count
    last_frame: Count
    num_frames: Count
    actions: list[ActionEntry] = Field(default_factory=list)


@config
class ModelEntry:
    """A component that took part, the sha256 of its weights, and its config as JSON.

    `used` (before version 1.2 `asked`) is false for a recognizer that the actions were found without: those before it
    were sure, or it serves pictures of other sizes. `note` says what the pipeline made of the component, such as which
    actions part states are conditioned on.
    """

    stage: str
    name: str
    weights_sha256: str | None
    config: str
    used: bool = Field(default=True, validation_alias=AliasChoices("used", "asked"))
    note: str = ""


@config
class ParseDocument:
    """The parse of one video. `complete` is false where the video was damaged or ended early, `unknown` where the file cannot tell.

    `actions` are those that hold, in order of their beginning, best first; `action_windows` have all scores. A short
    video is one window. `branch` is null where there is no low-resolution branch.
    """

    schema_version: Literal["1.0", "1.1", "1.2", "1.3"]
    vocabulary: VocabularyEntry
    actions: list[ActionEntry]
    models: list[ModelEntry]
    frames: Entries[FrameEntry]
    tracks: Entries[TrackEntry]
    video: VideoEntry
    complete: Completeness
    branch: BranchEntry | None = None
    action_windows: list[ActionWindowEntry] = Field(default_factory=list)
