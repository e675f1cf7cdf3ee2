"""The config of a whole pipeline: which component serves each stage, and how frames are scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from detectors import PART_DETECTORS, PERSON_DETECTORS
from detectors.trackers import TRACKERS
from parsing.configs import StageConfig, Table, config, nearest, override, parse_config, read_yaml, resolve
from parsing.errors import InputError
from parsing.states import PART_STATES, STATE_FILTERS
from pipelines.parse.tubes import TrackActionsConfig
from recognizers import RECOGNIZERS
from recognizers.by_size import LowResConfig
from recognizers.windows import WindowConfig

STAGE_TABLES: dict[str, Table] = {
    "person_detector": PERSON_DETECTORS,
    "tracker": TRACKERS,
    "part_detector": PART_DETECTORS,
    "part_states": PART_STATES,
}
MOST_FRAMES_BETWEEN = 100  # frames between key frames wait in memory for the next one


@config
class Schedule:
    """How frames go through the stages.

    Args:
        every: every N-th frame is a key frame and goes through the networks; boxes in between are interpolated.
        batch: key frames that go through the networks together; it changes speed and memory, not results.
        max_persons: persons kept in a frame, best first.
        early_exit_margin: recognizers run in the order of their list, so the cheapest should come first, until the best
            action leads by this much in probability; None runs all.
    """

    every: Annotated[int, Field(ge=1, le=MOST_FRAMES_BETWEEN)] = 1
    batch: Annotated[int, Field(ge=1)] = 4
    max_persons: Annotated[int, Field(ge=1)] = 20
    early_exit_margin: Annotated[float, Field(ge=0, le=1)] | None = None


@config
class Member:
    """What a recognizer's entry holds beside the options of its component.

    Args:
        weight: of its log-probabilities in the ensemble; weights are scaled to sum to one.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0


@dataclass(frozen=True)
class PipelineConfig:
    """The typed configs of all stages.

    Args:
        stages: a config for each name of `STAGE_TABLES`.
        recognizers: configs of recognizers that are mixed by `weights`; may be empty.
        windows: how the recognizers see videos that are longer than a clip.
        state_filter: what becomes of part states over time; None leaves them as the network gives them.
        track_actions: how the recognizers see each track; None leaves tracks without actions.
        low_res: the branch for small videos and small persons; None leaves all to the recognizers.
    """

    stages: Mapping[str, StageConfig]
    recognizers: tuple[StageConfig, ...]
    weights: tuple[float, ...]
    schedule: Schedule
    state_filter: StageConfig | None = None
    track_actions: TrackActionsConfig | None = None
    low_res: LowResConfig | None = None
    windows: WindowConfig = field(default_factory=WindowConfig)


def read_pipeline(name_or_path: str, assignments: Iterable[str] = ()) -> PipelineConfig:
    """Read a pipeline config: a shipped name such as `default`, or a YAML file.

    Args:
        assignments: `key.path=value` overrides.

    Raises:
        InputError: the file, a key or a value does not fit; names it and what is valid.
    """
    path = config_path(name_or_path)
    settings = override(read_yaml(path), assignments)
    where = str(path)
    schedule_keys = set(Schedule.__dataclass_fields__)
    valid = {*STAGE_TABLES, "recognizers", "state_filter", "track_actions", "low_res", "windows", *schedule_keys}
    for key in settings:
        if key not in valid:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(str(key), valid)}")
    for key in STAGE_TABLES:
        if key not in settings:
            raise InputError(f"{where}: stage {key!r} is missing")
    stages = {key: resolve(table, settings[key], f"{where}: {key}") for key, table in STAGE_TABLES.items()}
    recognizers, weights = _recognizers(settings.get("recognizers", []), f"{where}: recognizers")
    schedule = parse_config(Schedule, {key: settings[key] for key in schedule_keys & settings.keys()}, where)
    chosen: Any = settings.get("state_filter")
    state_filter = None if chosen is None else resolve(STATE_FILTERS, chosen, f"{where}: state_filter")
    tubes: Any = settings.get("track_actions")
    small: Any = settings.get("low_res")
    low_res = None if small is None else parse_config(LowResConfig, small, f"{where}: low_res")
    if tubes is not None and not recognizers:
        raise InputError(f"{where}: track_actions: there is no recognizer that could see them")
    track_actions = None if tubes is None else parse_config(TrackActionsConfig, tubes, f"{where}: track_actions")
    windows = parse_config(WindowConfig, settings.get("windows", {}), f"{where}: windows")
    return PipelineConfig(stages, recognizers, weights, schedule, state_filter, track_actions, low_res, windows)


def _recognizers(listed: Any, where: str) -> tuple[tuple[StageConfig, ...], tuple[float, ...]]:
    """Configs of the list's entries, and their weights."""
    if not isinstance(listed, list):
        raise InputError(f"{where}: found {listed!r:.60}, expected a list")
    configs, weights = [], []
    for i, item in enumerate(listed):
        options = dict(item) if isinstance(item, Mapping) else item
        beside = {"weight": options.pop("weight")} if isinstance(item, Mapping) and "weight" in item else {}
        weights.append(parse_config(Member, beside, f"{where}.{i}").weight)
        configs.append(resolve(RECOGNIZERS, options, f"{where}.{i}"))
    if listed and not any(weights):
        raise InputError(f"{where}: every weight is 0, expected one above")
    return tuple(configs), tuple(weights)


def config_path(name_or_path: str) -> Path:
    """The file of a shipped config's name, or the path itself.

    Raises:
        InputError: there is neither; names what is shipped.
    """
    shipped = {path.stem: path for path in (Path(str(resources.files("pipelines"))) / "configs").glob("*.yaml")}
    if name_or_path in shipped:
        return shipped[name_or_path]
    if not Path(name_or_path).exists() and Path(name_or_path).suffix not in (".yaml", ".yml", ".json"):
        raise InputError(f"--config {name_or_path}: no file, and no config that is shipped; {nearest(name_or_path, shipped)}")
    return Path(name_or_path)
