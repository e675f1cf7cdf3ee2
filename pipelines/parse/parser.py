"""A video in, a parse out: the stages of a config, composed."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from weakref import WeakSet

import numpy as np
import torch

from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.loading import keep_memory_together
from parsing.media.arrays import ArraySource
from parsing.media.prefetch import prefetched
from parsing.media.sources import Source, open_source
from parsing.networks.device_images import uploaded_once
from parsing.networks.runtimes import shared_by
from parsing.stages import ExpectsPictures, Item, PartDetector, PartStateRecognizer, PersonDetector, StateFilter, Tracker
from parsing.types import ActionScore, Array, Branch, Completeness, Frame, FrameParse, ModelFacts
from parsing.vocabulary import Vocabulary
from pipelines.command import torch_device
from pipelines.parse.actions import VideoActions
from pipelines.parse.conditioning import Conditioning, read_aliases
from pipelines.parse.config import PipelineConfig, read_pipeline
from pipelines.parse.flow import AHEAD, Lanes, grouped, parsed
from pipelines.parse.interpolation import fill_between
from pipelines.parse.keys import KEYS_A_GROUP, key_frames
from pipelines.parse.part_actions import VideoPartActions
from pipelines.parse.recognizers import recognizers_by_size
from pipelines.parse.tubes import TrackActions

log = logging.getLogger(__name__)
GROUP_FRAMES, GROUP_BYTES = 48, 192 * 2**20
_OPEN: WeakSet[Generator[tuple[Frame, FrameParse]]] = WeakSet()  # frames that may not have come to their end


@atexit.register
def _close_open() -> None:
    """End what a program leaves open, while the modules that it takes are there."""
    for frames in list(_OPEN):
        with suppress(ValueError):  # it runs in a thread of its own
            frames.close()


class VideoParser:
    """Parses videos with one set of networks; make it once, call it often.

    Examples:
        >>> parser = VideoParser.from_config("default")
        >>> parse = parser("video.mp4")
    """

    def __init__(self, settings: PipelineConfig, device: str = "cpu") -> None:
        keep_memory_together()
        self.lanes = Lanes(calls_at_a_time(settings, device))
        with shared_by(self.lanes.calls):
            self.person_detector: PersonDetector = settings.person_detector.build(device)
            self.part_detector: PartDetector = settings.part_detector.build(device)
            self.part_states: PartStateRecognizer = settings.part_states.build(device)
        self.tracker: Tracker = settings.tracker.build(device)
        self.state_filter: StateFilter | None = None if settings.state_filter is None else settings.state_filter.build(device)
        self.settings, self.track_actions = settings, settings.track_actions
        self.by_size, self.tracks_by_size = recognizers_by_size(settings, device)
        self.part_actions = None if settings.part_actions is None else settings.part_actions.build(device, settings.action_floor)
        self.vocabulary = self._agreed_vocabulary()
        large = self.by_size.large
        known = self.part_states.vocabulary.actions
        recognized = known if large is None or large.recognizer.multi_label else large.recognizer.action_names
        self.conditioning = Conditioning(recognized, known, read_aliases(settings.action_aliases))
        if self.state_filter is not None:
            self.state_filter.check(self.vocabulary)
        if self.part_actions is not None:
            self.part_actions.check(self.vocabulary, large)
        if self.conditioning.note:
            log.info("part_states: %s", self.conditioning.note)
        states = replace(self.part_states.facts, note=self.conditioning.note)
        stages = (self.person_detector, self.tracker, self.part_detector)
        later = [stage.facts for stage in (self.state_filter, self.part_actions) if stage is not None]
        self._models = (*(stage.facts for stage in stages), states, *later)

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
        return stream.parse(frames)

    def stream(
        self,
        path: str | Path | Source | None = None,
        *,
        frames: Iterable[Array | Frame] | None = None,
        fps: float | None = None,
        name: str = "frames",
    ) -> ParseStream:
        """Parse a file, a source such as `LiveSource`, or frames from memory, frame by frame in bounded memory.

        The actions of a file or a sequence are known before the first frame comes. Those of frames that come once, as
        from a generator, are found while they pass, and part states are conditioned on those found so far.

        Args:
            frames: in place of `path`, (H, W, 3) uint8 RGB arrays of one size, or `Frame`s with their own times; an
                iterable that never ends is read only a bounded number of frames ahead.
            fps: arrays a second.
            name: of the video in the parse, where `frames` are given.

        Raises:
            InputError: the source is no video that can be read; later, a frame is not like the first one.
        """
        if path is not None and frames is None and fps is None:
            return ParseStream(self, open_source(path) if isinstance(path, (str, Path)) else path)
        if path is None and frames is not None:
            return ParseStream(self, ArraySource(frames, fps, name))
        raise InputError("stream: expected either a path, or frames with their fps")

    def models(self, used: Collection[tuple[Branch, ModelFacts]]) -> tuple[ModelFacts, ...]:
        """The components that took part; recognizers with whether they are among those that a branch used."""
        tubes = () if self.track_actions is None else (self.track_actions.facts,)
        return (*self._models, *self.by_size.models(used), *tubes)

    def parse_key_frames(self, frames: list[Frame], actions: Array | None) -> list[FrameParse]:
        """Run the networks over a batch of key frames; persons have no tracks yet."""
        limit = self.settings.max_persons
        with torch.inference_mode(), uploaded_once():
            persons = [found.select(np.argsort(-found.scores, kind="stable")[:limit]) for found in self.person_detector(frames)]
            parts = self.part_detector(frames, persons)
            states = self.part_states(frames, persons, parts, self.conditioning(actions))
        columns = zip(frames, persons, parts, states, strict=True)
        return [FrameParse(f.index, f.time_s, found, boxes, scores) for f, found, boxes, scores in columns]

    def _agreed_vocabulary(self) -> Vocabulary:
        vocabulary = self.part_states.vocabulary
        if self.part_detector.part_names != vocabulary.parts:
            raise InputError(f"part_detector knows the parts {self.part_detector.part_names}, part_states expects {vocabulary.parts}")
        large, small = self.by_size.large, self.by_size.small
        actions = vocabulary.actions if self.part_actions is None else self.part_actions.of_video.source.action_names
        actions = actions if large is None else large.recognizer.action_names
        return replace(vocabulary, actions=actions, low_res_actions=() if small is None else small.recognizer.action_names)


def calls_at_a_time(settings: PipelineConfig, device: str) -> int:
    """How many key frames go through the networks at the same time, on a CPU and where all of them may be called from threads."""
    stages = (settings.person_detector, settings.part_detector, settings.part_states)
    if device != "cpu" or not all(getattr(stage, "in_threads", False) for stage in stages):
        return 1
    return min(settings.batch, torch.get_num_threads())


class ParseStream:
    """One video on its way through a parser: a `FrameParse` for every frame.

    `track_actions` grow as windows of tracks fill, and so do `actions` of a source that is read once, or of parts; they,
    `facts` and `complete` are final when the frames have been used up. Its frames come once; `VideoParser.stream` begins anew.
    """

    def __init__(self, parser: VideoParser, source: Source) -> None:
        self.parser, self.source = parser, source
        self.facts, self.num_frames = source.facts, source.num_frames
        self.branch = parser.by_size.explain(self.facts.width, self.facts.height)
        route, image_hw = parser.by_size(max(self.facts.width, self.facts.height)), (self.facts.height, self.facts.width)
        if isinstance(parser.person_detector, ExpectsPictures):
            parser.person_detector.expect(image_hw)
        self._video_actions = VideoActions(route)
        self._video_actions.read(self.source)
        parts, tubes = parser.part_actions, parser.track_actions
        mixer = None if parts is None else parts.of_track
        if tubes is None:
            self._track_actions = None
        else:
            side_px = max(self.facts.width, self.facts.height)
            route_of = parser.tracks_by_size if tubes.low_res else lambda _: parser.tracks_by_size(side_px)
            self._track_actions = TrackActions(tubes, route_of, mixer, image_hw)
        self._part_actions: VideoPartActions | None = None
        if parts is not None and (route is None or route.branch == "recognizers"):
            self._part_actions = VideoPartActions(parts, self._video_actions, parser.settings.windows, image_hw)
        self.complete: Completeness = False
        self._begun = False

    @property
    def actions(self) -> Sequence[ActionScore]:
        """What holds in the whole video, in order of time."""
        return self._video_actions.timeline.actions

    @property
    def track_actions(self) -> Mapping[int, Sequence[ActionScore]]:
        """What the person of a track does, in order of time."""
        return {} if self._track_actions is None else self._track_actions.found

    def parse(self, frames: tuple[FrameParse, ...] = ()) -> VideoParse:
        """What is known of the video by now, with the frames that are to be part of it."""
        used = self._video_actions.used | (set() if self._track_actions is None else self._track_actions.used)
        return VideoParse(
            self.facts,
            self.parser.vocabulary,
            tuple(self.actions),
            frames,
            self.parser.models(used),
            self.complete,
            self.track_actions,
            self.branch,
            tuple(self._video_actions.windows),
        )

    def __iter__(self) -> Iterator[FrameParse]:
        return (parse for _, parse in self.with_frames(keep_images=False))

    def with_frames(self, keep_images: bool = True) -> Generator[tuple[Frame, FrameParse]]:
        """Each frame with its parse, in display order.

        Args:
            keep_images: False lets images between key frames go early; their frames then hold one black pixel.

        Raises:
            InputError: they were asked for before.
        """
        frames = self._with_frames(keep_images)
        _OPEN.add(frames)
        return frames

    def _with_frames(self, keep_images: bool) -> Generator[tuple[Frame, FrameParse]]:
        if self._begun:
            raise InputError(f"{self.facts.name}: the frames of a stream come once, and were asked for before; expected a new stream")
        self._begun = True
        # Closed in this order: the thread that decodes must have ended before its file is closed.
        with closing(self.source), closing(self._parsed(keep_images)) as parsed:
            waits = not self.source.is_live
            items = self.parser.tracker(parsed, waits=waits)
            items = items if self.parser.state_filter is None else self.parser.state_filter(items, waits=waits)
            items = items if self._track_actions is None else self._track_actions(items)
            items = items if self._part_actions is None else self._part_actions(items)
            yield from self.parser.lanes.beside(fill_between(items))
            self.facts, self.complete = self.source.facts, self.source.complete

    def _parsed(self, keep_images: bool) -> Generator[Item]:
        """Every frame, with a parse where it is a key frame."""
        keys, most = key_frames(self.parser.settings.every), self._frames_at_once
        with closing(self._frames(most)) as frames:
            groups = grouped(self._video_actions.watch(frames), self._video_actions.at, keys, most, keep_images)
            ahead = 0 if self.source.is_live else AHEAD
            with closing(parsed(groups, self.parser.parse_key_frames, self.parser.lanes, keys, ahead)) as items:
                yield from items

    def _frames(self, most: int) -> Generator[Frame]:
        """A live source has its own thread, and frames that it gives early would be old when their turn comes."""
        if self.source.is_live:
            yield from self.source.frames()
        else:
            yield from prefetched(self.source.frames(), most)

    @property
    def _frames_at_once(self) -> int:
        """How many frames are decoded while those before them go through the networks, which bounds the memory."""
        if self.source.is_live:
            return 1
        settings, frame_bytes = self.parser.settings, 3 * self.facts.height * self.facts.width
        every = settings.every
        wanted = settings.batch * every if isinstance(every, int) else KEYS_A_GROUP * every.most  # which no batch may change
        return max(1, min(wanted, GROUP_FRAMES, GROUP_BYTES // frame_bytes))
