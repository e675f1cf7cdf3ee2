"""The config of a whole pipeline: which component serves each stage, and how frames are scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from detectors import PART_DETECTORS, PERSON_DETECTORS
from parsing.configs import StageConfig, Table, config, nearest, override, parse_config, read_yaml, resolve
from parsing.errors import InputError
from parsing.states import PART_STATES, STATE_FILTERS
from pipelines.tracking import TRACKERS
from recognizers import RECOGNIZERS

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
    """

    every: Annotated[int, Field(ge=1, le=MOST_FRAMES_BETWEEN)] = 1
    batch: Annotated[int, Field(ge=1)] = 4
    max_persons: Annotated[int, Field(ge=1)] = 20


class PipelineConfig:
    """The typed configs of all stages.

    Args:
        stages: a config for each name of `STAGE_TABLES`.
        recognizers: configs whose scores are averaged; may be empty.
        state_filter: what becomes of part states over time; None leaves them as the network gives them.
    """

    def __init__(
        self,
        stages: Mapping[str, StageConfig],
        recognizers: tuple[StageConfig, ...],
        schedule: Schedule,
        state_filter: StageConfig | None = None,
    ) -> None:
        self.stages, self.recognizers, self.schedule, self.state_filter = dict(stages), recognizers, schedule, state_filter


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
    valid = {*STAGE_TABLES, "recognizers", "state_filter", *schedule_keys}
    for key in settings:
        if key not in valid:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(str(key), valid)}")
    for key in STAGE_TABLES:
        if key not in settings:
            raise InputError(f"{where}: stage {key!r} is missing")
    stages = {key: resolve(table, settings[key], f"{where}: {key}") for key, table in STAGE_TABLES.items()}
    listed: Any = settings.get("recognizers", [])
    if not isinstance(listed, list):
        raise InputError(f"{where}: recognizers: found {listed!r:.60}, expected a list")
    recognizers = tuple(resolve(RECOGNIZERS, item, f"{where}: recognizers.{i}") for i, item in enumerate(listed))
    schedule = parse_config(Schedule, {key: settings[key] for key in schedule_keys & settings.keys()}, where)
    chosen: Any = settings.get("state_filter")
    state_filter = None if chosen is None else resolve(STATE_FILTERS, chosen, f"{where}: state_filter")
    return PipelineConfig(stages, recognizers, schedule, state_filter)


def config_path(name_or_path: str) -> Path:
    """The file of a shipped config's name, or the path itself."""
    shipped = Path(str(resources.files("pipelines"))) / "configs" / f"{name_or_path}.yaml"
    return shipped if "/" not in name_or_path and shipped.is_file() else Path(name_or_path)
