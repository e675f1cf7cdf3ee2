"""A video in, a parse out: the stages of a config, composed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.media.prefetch import prefetched
from parsing.media.video import VideoReader, count_frames, probe, read_nearest
from parsing.stages import ActionRecognizer, PartDetector, PartStateRecognizer, PersonDetector, StateFilter, Tracker
from parsing.types import ActionScore, ActionScores, Array, Branch, BranchFacts, Frame, FrameParse, ModelFacts, VideoFacts
from parsing.vocabulary import Vocabulary
from pipelines.command import torch_device
from pipelines.parse.config import PipelineConfig, Schedule, read_pipeline
from pipelines.parse.interpolation import fill_between
from pipelines.parse.timeline import Labels
from pipelines.parse.tubes import Item, TrackActions
from recognizers.ensemble import Ensemble

GROUP_FRAMES = 48


class VideoParser:
    """Parses videos with one set of networks; make it once, call it often.

    >>> parser = VideoParser.from_config("default")
    >>> parse = parser("video.mp4")
    """

    def __init__(self, settings: PipelineConfig, device: str = "cpu") -> None:
        build = {stage: config.build for stage, config in settings.stages.items()}
        self.person_detector: PersonDetector = build["person_detector"](device)
        self.part_detector: PartDetector = build["part_detector"](device)
        self.part_states: PartStateRecognizer = build["part_states"](device)
        members = [config.build(device) for config in settings.recognizers]
        self._check_members(members)
        self.ensemble = Ensemble(members, settings.weights, settings.schedule.early_exit_margin) if members else None
        self.state_filter: StateFilter | None = None if settings.state_filter is None else settings.state_filter.build(device)
        self._tracker, self._device = settings.stages["tracker"], device
        self.schedule: Schedule = settings.schedule
        self.track_actions = settings.track_actions
        self.low_res = None if settings.low_res is None else settings.low_res.build(device)
        self.vocabulary = self._agreed_vocabulary()
        if self.state_filter is not None:
            self.state_filter.check(self.vocabulary)
        stages = (self.person_detector, self.new_tracker(), self.part_detector, self.part_states, self.state_filter)
        self._models = tuple(stage.facts for stage in stages if stage is not None)

    @classmethod
    def from_config(cls, name_or_path: str = "default", overrides: Iterable[str] = (), device: str = "auto") -> VideoParser:
        """Build the stages that a config names.

        Raises:
            InputError: config or weights do not fit; names the key or file.
        """
        return cls(read_pipeline(name_or_path, overrides), torch_device(device))

    def __call__(self, path: str | Path) -> VideoParse:
        """Parse a whole video into memory.

        Raises:
            InputError: the file is no video that can be read.
        """
        stream = self.stream(path)
        frames = tuple(stream)
        of_video = stream.facts, self.vocabulary, stream.actions, frames, stream.models, stream.complete
        return VideoParse(*of_video, stream.track_actions, stream.branch)

    def stream(self, path: str | Path) -> ParseStream:
        """Parse frame by frame in bounded memory; the action is known before the first frame comes."""
        return ParseStream(self, Path(path))

    def new_tracker(self) -> Tracker:
        """A tracker for one video."""
        return cast(Tracker, self._tracker.build(self._device))

    def branch(self, facts: VideoFacts) -> BranchFacts | None:
        """Which branch speaks of a whole video, and why; None where there is only one."""
        if self.low_res is None:
            return None
        small = self.low_res.speaks_of(max(facts.width, facts.height))
        return BranchFacts("low_res" if small else "recognizers", self.low_res.reason(facts))

    def recognize(self, path: Path, num_frames: int) -> ActionScores | None:
        """The action of the whole video, from the frames that the recognizers sample; None without recognizers or frames."""
        if self.ensemble is None or num_frames == 0:
            return None
        return self.ensemble(read_nearest(path, self.ensemble.indices(num_frames)), num_frames)

    def judge(self, frames: Sequence[Frame], side_px: float) -> tuple[Labels, Branch]:
        """What a person does in a window, seen at so many pixels a side, and which branch says so."""
        if self.low_res is not None and self.low_res.speaks_of(side_px):
            return self.low_res.labels(frames), "low_res"
        assert self.ensemble is not None
        scores = self.ensemble(dict(enumerate(frames)), len(frames)).probabilities
        best = int(scores.argmax())
        return [(self.vocabulary.actions[best], float(scores[best]))], "recognizers"

    def actions(self, found: ActionScores | None, duration_s: float) -> tuple[ActionScore, ...]:
        """Every action of a whole video, best first."""
        if found is None:
            return ()
        names, scores = self.vocabulary.actions, found.probabilities
        return tuple(ActionScore(names[i], float(scores[i]), 0.0, duration_s) for i in np.argsort(-scores, kind="stable"))

    def models(self, found: ActionScores | None, branch: BranchFacts | None) -> tuple[ModelFacts, ...]:
        """The components that took part, each recognizer with whether it was used for the action of the whole video."""
        is_small = branch is not None and branch.name == "low_res"
        used = () if found is None else found.models
        recognizers = () if self.ensemble is None else tuple(replace(m, used=m in used) for m in self.ensemble.models)
        tubes = () if self.track_actions is None else (self.track_actions.facts,)
        small = () if self.low_res is None else tuple(replace(model, used=is_small) for model in self.low_res.models)
        return (*self._models, *recognizers, *small, *tubes)

    def parse_key_frames(self, frames: list[Frame], tracker: Tracker, actions: Array | None) -> list[FrameParse]:
        """Run the networks over a batch of key frames, in display order."""
        limit = self.schedule.max_persons
        with torch.inference_mode():
            persons = [found.select(np.argsort(-found.scores, kind="stable")[:limit]) for found in self.person_detector(frames)]
            persons = [tracker(frame, found) for frame, found in zip(frames, persons, strict=True)]
            parts = self.part_detector(frames, persons)
            states = self.part_states(frames, persons, parts, actions)
        columns = zip(frames, persons, parts, states, strict=True)
        return [FrameParse(f.index, f.time_s, found, boxes, scores) for f, found, boxes, scores in columns]

    def _check_members(self, members: Sequence[ActionRecognizer]) -> None:
        known = self.part_states.vocabulary.actions
        for member in members:
            if member.action_names != known:
                odd = sorted(set(member.action_names) ^ set(known)) or ["their order"]
                raise InputError(f"recognizer {member.models[0].name!r} and part_states differ in their actions: {', '.join(odd)}")

    def _agreed_vocabulary(self) -> Vocabulary:
        vocabulary = self.part_states.vocabulary
        if self.part_detector.part_names != vocabulary.parts:
            raise InputError(f"part_detector knows the parts {self.part_detector.part_names}, part_states expects {vocabulary.parts}")
        return vocabulary if self.low_res is None else replace(vocabulary, low_res_actions=self.low_res.action_names)


class ParseStream:
    """One video on its way through a parser: `actions` at once, then a `FrameParse` for every frame.

    `track_actions` grow as windows of tracks fill; they, `facts` and `complete` are final when the frames have been used up.
    """

    def __init__(self, parser: VideoParser, path: Path) -> None:
        self.parser, self.path = parser, path
        self.facts = probe(path)
        self.num_frames = count_frames(path)
        self.branch = parser.branch(self.facts)
        self._scores: ActionScores | None = None
        self.actions = self._recognize()
        self.models = parser.models(self._scores, self.branch)
        self.track_actions: Mapping[int, Sequence[ActionScore]] = {}
        self.complete = False

    def _recognize(self) -> tuple[ActionScore, ...]:
        """Actions of the whole video."""
        if self.parser.low_res is not None and self.branch is not None and self.branch.name == "low_res":
            with VideoReader(self.path) as reader:
                return self.parser.low_res.actions(reader)
        self._scores = self.parser.recognize(self.path, self.num_frames)
        return self.parser.actions(self._scores, self.facts.duration_s)

    def __iter__(self) -> Iterator[FrameParse]:
        return (parse for _, parse in self.with_frames(keep_images=False))

    def with_frames(self, keep_images: bool = True) -> Iterator[tuple[Frame, FrameParse]]:
        """Each frame with its parse, in display order.

        Args:
            keep_images: False lets images between key frames go early; their frames then hold one black pixel.
        """
        with VideoReader(self.path) as reader:
            items, state_filter = self._with_track_actions(self._parsed(reader, keep_images)), self.parser.state_filter
            yield from fill_between(items if state_filter is None else state_filter(items))
            self.facts = reader.facts
        declared = self.facts.frames_declared
        self.complete = self.facts.decode_errors == 0 and (declared is None or self.facts.frames_decoded >= declared)

    def _with_track_actions(self, items: Iterator[Item]) -> Iterator[Item]:
        options = self.parser.track_actions
        if options is None:
            return items
        tubes = TrackActions(options, self.parser.judge)
        self.track_actions = tubes.found
        return tubes(items)

    def _parsed(self, reader: VideoReader, keep_images: bool) -> Iterator[Item]:
        """Every frame, with a parse where it is a key frame."""
        tracker, actions = self.parser.new_tracker(), None if self._scores is None else self._scores.probabilities
        for group in prefetched(self._groups(reader, keep_images)):
            parses = iter(self.parser.parse_key_frames([frame for frame in group if self._is_key(frame)], tracker, actions))
            yield from ((frame, next(parses) if self._is_key(frame) else None) for frame in group)

    def _is_key(self, frame: Frame) -> bool:
        return frame.index % self.parser.schedule.every == 0

    def _groups(self, reader: Iterable[Frame], keep_images: bool) -> Iterator[list[Frame]]:
        """Frames in runs of at most `batch` key frames, and of at most GROUP_FRAMES, which bounds the memory."""
        group: list[Frame] = []
        num_keys = 0
        for frame in reader:
            is_key = self._is_key(frame)
            if len(group) == GROUP_FRAMES or (is_key and num_keys == self.parser.schedule.batch):
                yield group
                group, num_keys = [], 0
            num_keys += is_key
            kept = frame if is_key or keep_images else Frame(frame.video, frame.index, frame.time_s, np.zeros((1, 1, 3), np.uint8))
            group.append(kept)
        if group:
            yield group
