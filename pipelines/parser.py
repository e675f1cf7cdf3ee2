"""A video in, a parse out: the stages of a config, composed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch

from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.stages import PartDetector, PartStateRecognizer, PersonDetector, Recognizer, StateFilter, Tracker
from parsing.types import ActionScore, Array, Frame, FrameParse, ModelFacts, VideoFacts
from parsing.video import VideoReader, count_frames, probe, read_nearest
from parsing.vocabulary import Vocabulary
from pipelines.command import torch_device
from pipelines.interpolation import fill_between
from pipelines.prefetch import prefetched
from pipelines.settings import PipelineConfig, Schedule, read_pipeline
from recognizers.ensemble import average_scores

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
        self.recognizers: list[Recognizer] = [config.build(device) for config in settings.recognizers]
        self.state_filter: StateFilter | None = None if settings.state_filter is None else settings.state_filter.build(device)
        self._tracker, self._device = settings.stages["tracker"], device
        self.schedule: Schedule = settings.schedule
        self.vocabulary = self._agreed_vocabulary()
        if self.state_filter is not None:
            self.state_filter.check(self.vocabulary)
        stages = (self.person_detector, self.new_tracker(), self.part_detector, self.part_states, self.state_filter, *self.recognizers)
        self.models: tuple[ModelFacts, ...] = tuple(stage.facts for stage in stages if stage is not None)

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
        return VideoParse(stream.facts, self.vocabulary, stream.actions, frames, self.models, stream.complete)

    def stream(self, path: str | Path) -> ParseStream:
        """Parse frame by frame in bounded memory; the action is known before the first frame comes."""
        return ParseStream(self, Path(path))

    def new_tracker(self) -> Tracker:
        """A tracker for one video."""
        return cast(Tracker, self._tracker.build(self._device))

    def recognize(self, path: Path, facts: VideoFacts, num_frames: int) -> tuple[ActionScore, ...]:
        """Actions of the whole video, best first, from the frames that the recognizers sample."""
        if not self.recognizers or num_frames == 0:
            return ()
        clips = [recognizer.sample(num_frames) for recognizer in self.recognizers]
        frames = read_nearest(path, (i for per_recognizer in clips for clip in per_recognizer for i in clip))
        scores = [
            recognizer([[frames[int(i)] for i in clip] for clip in per_recognizer])
            for recognizer, per_recognizer in zip(self.recognizers, clips, strict=True)
        ]
        mean = average_scores(scores)
        order = np.argsort(-mean, kind="stable")
        return tuple(ActionScore(self.vocabulary.actions[i], float(mean[i]), 0.0, facts.duration_s) for i in order)

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

    def _agreed_vocabulary(self) -> Vocabulary:
        vocabulary = self.part_states.vocabulary
        if self.part_detector.part_names != vocabulary.parts:
            raise InputError(f"part_detector knows the parts {self.part_detector.part_names}, part_states expects {vocabulary.parts}")
        for recognizer in self.recognizers:
            if recognizer.action_names != vocabulary.actions:
                odd = sorted(set(recognizer.action_names) ^ set(vocabulary.actions)) or ["their order"]
                raise InputError(f"recognizer {recognizer.facts.name!r} and part_states differ in their actions: {', '.join(odd)}")
        return vocabulary


class ParseStream:
    """One video on its way through a parser: `actions` at once, then a `FrameParse` for every frame.

    `facts` and `complete` are final when the frames have been used up.
    """

    def __init__(self, parser: VideoParser, path: Path) -> None:
        self.parser, self.path = parser, path
        self.facts = probe(path)
        self.num_frames = count_frames(path)
        self.actions = parser.recognize(path, self.facts, self.num_frames)
        self.complete = False

    def __iter__(self) -> Iterator[FrameParse]:
        return (parse for _, parse in self.with_frames(keep_images=False))

    def with_frames(self, keep_images: bool = True) -> Iterator[tuple[Frame, FrameParse]]:
        """Each frame with its parse, in display order.

        Args:
            keep_images: False lets images between key frames go early; their frames then hold one black pixel.
        """
        with VideoReader(self.path) as reader:
            parsed, state_filter = self._parsed(reader, keep_images), self.parser.state_filter
            yield from fill_between(parsed if state_filter is None else state_filter(parsed))
            self.facts = reader.facts
        declared = self.facts.frames_declared
        self.complete = self.facts.decode_errors == 0 and (declared is None or self.facts.frames_decoded >= declared)

    def _parsed(self, reader: VideoReader, keep_images: bool) -> Iterator[tuple[Frame, FrameParse | None]]:
        """Every frame, with a parse where it is a key frame."""
        tracker, actions = self.parser.new_tracker(), self._distribution()
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

    def _distribution(self) -> Array | None:
        if not self.actions:
            return None
        scores = {action.label: action.score for action in self.actions}
        return np.array([scores[name] for name in self.parser.vocabulary.actions], np.float32)
