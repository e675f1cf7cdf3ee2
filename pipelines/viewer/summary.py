"""What a parse says in a few figures, gathered while its frames pass."""

from __future__ import annotations

from dataclasses import dataclass

from parsing.document import VideoParse
from parsing.intervals import HOLDS_FROM, IntervalFinder, StateInterval, TrackSpan
from parsing.types import FrameParse, VideoFacts


@dataclass(frozen=True)
class Total:
    """How long a state holds, all in all, and in how many intervals."""

    seconds: float = 0.0
    count: int = 0


class Summary:
    """Counts and durations of a parse; frames are given in order, then `finish` is called."""

    def __init__(self, parse: VideoParse, threshold: float = HOLDS_FROM) -> None:
        self.parse = parse
        self.num_frames = self.num_key_frames = self.most_persons = self.num_untracked = 0
        self.last_s = 0.0
        self._scores: dict[int, float] = {}  # by track, their sum
        self.totals: dict[tuple[int, str, str], Total] = {}  # by track, part and state
        self._intervals = IntervalFinder(parse.vocabulary, threshold)

    def add(self, frame: FrameParse) -> list[StateInterval]:
        """Take the next frame; the intervals that ended before it."""
        ids = frame.persons.track_ids
        self.num_frames += 1
        self.num_key_frames += frame.key
        self.most_persons = max(self.most_persons, len(frame.persons))
        self.num_untracked += len(frame.persons) if ids is None else int((ids < 0).sum())
        self.last_s = frame.time_s
        for track_id, score in zip([] if ids is None else ids.tolist(), frame.persons.scores.tolist(), strict=False):
            self._scores[track_id] = self._scores.get(track_id, 0.0) + score
        return self._counted(self._intervals.add(frame))

    def finish(self) -> list[StateInterval]:
        """The intervals that hold until the end."""
        return self._counted(self._intervals.finish(self.frame_s))

    @property
    def frame_s(self) -> float:
        """How long a frame is shown, in seconds; 0 for pictures."""
        return 1 / self.parse.facts.fps if self.parse.facts.fps > 0 else 0.0

    @property
    def tracks(self) -> list[TrackSpan]:
        """By number."""
        return [track for _, track in sorted(self._intervals.tracks.items())]

    def mean_score(self, track_id: int) -> float:
        """How sure the detector was of the person of a track, the mean over its frames."""
        return self._scores[track_id] / self._intervals.tracks[track_id].num_frames

    @property
    def duration_s(self) -> float:
        """Of the video, or of the frames where these reach beyond what its file says."""
        return max(self.parse.facts.duration_s, self.last_s)

    @property
    def warnings(self) -> list[str]:
        """What a reader of the parse should know, a sentence each."""
        facts, found = self.parse.facts, []
        if self.parse.complete is False:
            found.append(f"The video was {loss(facts)}.")
        elif self.parse.complete == "unknown":
            found.append("Nothing in the video's file tells whether its end is missing.")
        if self.num_frames != facts.frames_decoded:
            found.append(f"The parse holds {self.num_frames} frames; {facts.frames_decoded} were decoded.")
        if not self.most_persons:
            found.append("No person was found.")
        if self.num_untracked:
            found.append(f"{self.num_untracked} boxes of persons belong to no track; they have no intervals.")
        if not self.parse.actions:
            found.append("No action was recognized.")
        return found + [f"{model.stage} ({model.name}): {model.note}" for model in self.parse.models if model.note]

    def states_of(self, track_id: int, part: str) -> list[tuple[str, Total]]:
        """The states of one part of a track, the one that holds longest first."""
        found = [(state, total) for (track, name, state), total in self.totals.items() if (track, name) == (track_id, part)]
        return sorted(found, key=lambda one: -one[1].seconds)

    def _counted(self, intervals: list[StateInterval]) -> list[StateInterval]:
        for one in intervals:
            key = one.track_id, one.part, one.state
            before = self.totals.get(key, Total())
            self.totals[key] = Total(before.seconds + one.end_s - one.start_s, before.count + 1)
        return intervals


def loss(facts: VideoFacts) -> str:
    """What an incomplete video gave, in words."""
    declared = f" of {facts.frames_declared}" if facts.frames_declared is not None else ""
    return f"damaged or cut off: {facts.frames_decoded}{declared} frames decoded, {facts.decode_errors} errors"
