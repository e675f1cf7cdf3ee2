"""Actions from parts beside those of recognizers: of the persons of a window, and of one person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from parsing.configs import Choice, Count, Share, StageConfig, config
from parsing.errors import InputError
from parsing.logits import softmax
from parsing.stages import Item, PartActionRecognizer
from parsing.tracks import Tracklet, tracklets
from parsing.types import ActionScores, FrameParse, ModelFacts
from parsing.vocabulary import Vocabulary
from pipelines.parse.actions import VideoActions
from recognizers.by_size import Route
from recognizers.ensemble import LEAST_PROBABILITY, logits_of
from recognizers.floor import ActionFloor
from recognizers.parts import PART_ACTIONS
from recognizers.windows import Window, WindowConfig, Windows


@config
class PartActionsConfig:
    """How actions from parts join those of the recognizers.

    Args:
        source: what finds them.
        share: of the parts in the log-probabilities of a whole video; the rest is the recognizers'. `pipelines.evaluate
            recognizer --scores` fits it. Where there are no recognizers, parts have it all.
        track_share: the same for single tracks, beside the recognizers on their crops (`track_actions`).
        min_frames: key frames that a window of the video must hold; those of a track are `track_actions.min_frames`.
    """

    source: Annotated[StageConfig, Choice(PART_ACTIONS)]
    share: Share = 0.4
    track_share: Share = 0.6
    min_frames: Count = 3

    def build(self, device: str, floor: ActionFloor | None) -> PartActions:
        source: PartActionRecognizer = self.source.build(device)
        return PartActions(
            PartMixer(source, self.share, floor),
            PartMixer(source, self.track_share, floor),
            self.min_frames,
            replace(source.facts, note=f"share of parts: {self.share:g} in videos, {self.track_share:g} in tracks"),
        )


@dataclass(frozen=True, eq=False)
class PartMixer:
    """Mixes what parts say with what recognizers say, as an ensemble does: the weighted mean of log-probabilities.

    Args:
        floor: of the pipeline; probabilities of recognizers have its temperature already.
    """

    source: PartActionRecognizer
    share: float
    floor: ActionFloor | None = None

    def __call__(self, persons: Sequence[Tracklet], recognized: ActionScores | None) -> ActionScores:
        """Scores of a window from its persons, at least one, and from those of recognizers that saw it."""
        (found,) = self.source([persons])
        probabilities = found.probabilities if self.floor is None else self.floor.probabilities(found.probabilities)
        logits = logits_of(probabilities, False, LEAST_PROBABILITY)
        if recognized is not None:
            logits = self.share * logits + (1 - self.share) * logits_of(recognized.probabilities, False, LEAST_PROBABILITY)
        background = [self.source.action_names.index(name) for name in self.source.background]
        models = (*(() if recognized is None else recognized.models), *found.models)
        scores = ActionScores.of(softmax(logits), False, models, background)
        least = 0.0 if self.floor is None else self.floor.least
        return replace(scores, holds=scores.holds & (scores.probabilities >= least))


@dataclass(frozen=True, eq=False)
class PartActions:
    """The mixers of a pipeline."""

    of_video: PartMixer
    of_track: PartMixer
    min_frames: int
    facts: ModelFacts

    def check(self, vocabulary: Vocabulary, large: Route | None) -> None:
        """Raises InputError where parts, states or actions are not those of the other stages."""
        source = self.of_video.source
        source.check(vocabulary)
        if large is None:
            return
        recognizer = large.recognizer
        if recognizer.multi_label:
            raise InputError("part_actions: beside multi-label recognizers, expected single-label ones")
        for what in ("action_names", "background"):
            ours, theirs = getattr(source, what), getattr(recognizer, what)
            if ours != theirs:
                odd = sorted(set(ours) ^ set(theirs)) or ["their order"]
                said = "actions" if what == "action_names" else "background"
                raise InputError(f"part_actions and recognizers differ in their {said}: {', '.join(odd):.300}")


class VideoPartActions:
    """Passes the frames of one video on, and mixes what the parts of its persons say into its windows.

    At most the key frames of one window are kept, without their images.
    """

    def __init__(self, parts: PartActions, video: VideoActions, options: WindowConfig, image_hw: tuple[int, int]) -> None:
        self.parts, self.video, self.image_hw = parts, video, image_hw
        self.windows = Windows[FrameParse](options.window_s, options.every_s, options.most_frames, least_items=parts.min_frames)

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        end_s = 0.0
        for frame, parse in items:
            end_s = frame.time_s
            if parse is not None:
                self._mix(self.windows.add(parse.time_s, parse))
            yield frame, parse
        self._mix(self.windows.finish(end_s))

    def _mix(self, windows: Iterable[Window[FrameParse]]) -> None:
        for window in windows:
            persons = tracklets(window.items, self.image_hw)
            if persons:
                mixer = self.parts.of_video
                self.video.mix(persons, mixer, mixer.source.action_names, window.start_s, window.end_s)
