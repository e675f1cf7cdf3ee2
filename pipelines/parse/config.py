"""The config of a whole pipeline: which component serves each stage, and how frames are scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, PlainValidator, TypeAdapter

from detectors import PART_DETECTORS, PERSON_DETECTORS, TRACKERS
from parsing.configs import Choice, Count, Share, StageConfig, config, parse_config
from parsing.loading import loading
from parsing.networks.quick_import import import_networks
from parsing.states import PART_STATES, STATE_FILTERS
from pipelines.config_files import config_path, read_settings
from pipelines.drawing.frames import DrawingConfig
from pipelines.parse.keys import MOST_FRAMES_BETWEEN, MotionKeys
from pipelines.parse.part_actions import PartActionsConfig
from pipelines.parse.tubes import TrackActionsConfig
from recognizers import RECOGNIZERS
from recognizers.by_size import LowResConfig
from recognizers.floor import ActionFloor
from recognizers.windows import WindowConfig


@dataclass(frozen=True)
class WeightedRecognizer:
    """A recognizer's config, and the weight of its log-probabilities in the ensemble; weights are scaled to sum to one."""

    recognizer: StageConfig
    weight: float


@config
class _Weight:
    weight: Annotated[float, Field(ge=0, le=1e6)] = 1.0


def _weighted(value: Any) -> WeightedRecognizer:
    """An entry of `recognizers`: the options of a component, and beside them its weight; one that was read already stays."""
    if isinstance(value, WeightedRecognizer):
        return value
    options = dict(value) if isinstance(value, Mapping) else value
    beside = {"weight": options.pop("weight")} if isinstance(options, dict) and "weight" in options else {}
    weight = TypeAdapter(_Weight).validate_python(beside).weight
    return WeightedRecognizer(Choice(RECOGNIZERS)(options), weight)


Every = Annotated[int, Field(ge=1, le=MOST_FRAMES_BETWEEN)]


def _every(value: Any) -> int | MotionKeys:
    """A number of frames, `auto`, or the options of that."""
    if value == "auto" or isinstance(value, (Mapping, MotionKeys)):
        return TypeAdapter(MotionKeys).validate_python({} if value == "auto" else value)
    return TypeAdapter(Every).validate_python(value)


@config
class PipelineConfig:
    """Which component serves each stage, and how frames go through them.

    Args:
        recognizers: components that are mixed by their weights; may be empty.
        action_aliases: file of actions that the part states know under other names, `recognizer's: part states'` a line;
            `default/kinetics400` is shipped.
        windows: how the recognizers see videos that are longer than a clip.
        state_filter: what becomes of part states over time; None leaves them as the network gives them.
        track_actions: how the recognizers see each track; None leaves tracks without actions.
        part_actions: actions from parts and part states over time, mixed with those of the recognizers in videos and tracks.
        low_res: the branch for small videos and small persons; None leaves all to the recognizers.
        every: every N-th frame is a key frame and goes through the networks; boxes in between are interpolated. `auto`, or
            options of it, makes key frames where persons move.
        batch: key frames that go through the networks together; it changes speed and memory, not results.
        max_persons: persons kept in a frame, best first.
        early_exit_margin: recognizers run in the order of their list, so the cheapest should come first, until the best
            action leads by this much in probability; None runs all.
        action_floor: from which probability on the best action of the mixed recognizers holds; None lets it always hold, and
            without recognizers there is nothing for it to do. `pipelines.evaluate recognizer` fits it where the clips have
            background classes.
        drawing: what the annotated copy shows.
    """

    person_detector: Annotated[StageConfig, Choice(PERSON_DETECTORS)]
    tracker: Annotated[StageConfig, Choice(TRACKERS)]
    part_detector: Annotated[StageConfig, Choice(PART_DETECTORS)]
    part_states: Annotated[StageConfig, Choice(PART_STATES)]
    recognizers: tuple[Annotated[WeightedRecognizer, PlainValidator(_weighted)], ...] = ()
    action_aliases: str = ""
    windows: WindowConfig = field(default_factory=WindowConfig)
    state_filter: Annotated[StageConfig, Choice(STATE_FILTERS)] | None = None
    track_actions: TrackActionsConfig | None = None
    part_actions: PartActionsConfig | None = None
    low_res: LowResConfig | None = None
    every: Annotated[Every | MotionKeys, PlainValidator(_every)] = 1
    batch: Count = 4
    max_persons: Count = 20
    early_exit_margin: Share | None = None
    action_floor: ActionFloor | None = None
    drawing: DrawingConfig = field(default_factory=DrawingConfig)

    def __post_init__(self) -> None:
        if self.recognizers and not any(entry.weight for entry in self.recognizers):
            raise ValueError("recognizers: every weight is 0, expected one above")
        has_source = bool(self.recognizers) or self.part_actions is not None
        if self.track_actions is not None and not has_source:
            raise ValueError("track_actions: there is no recognizer that could see them, and no part_actions")


def read_pipeline(name_or_path: str, assignments: Iterable[str] = ()) -> PipelineConfig:
    """Read a pipeline config: a shipped name such as `default`, or a YAML file.

    Args:
        assignments: `key.path=value` overrides.

    Raises:
        InputError: the file, a key or a value does not fit; names it and what is valid.
    """
    with loading():
        import_networks()  # before the stages' modules are
        return parse_config(PipelineConfig, read_settings(name_or_path, assignments), str(config_path(name_or_path)))
