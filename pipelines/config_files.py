"""Config files by name or path, the same for every command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from parsing.configs import nearest, override, read_yaml
from parsing.errors import InputError

FILE_KEYS = ("weights", "initial")  # of configs, which name files that may lie beside them


def shipped_configs() -> dict[str, Path]:
    """Every config that comes along: pipelines as `default`, all others with their folder, as `part_states/compact`."""
    top = Path(str(resources.files("pipelines"))) / "configs"
    pipelines = {path.stem: path for path in top.glob("*.yaml")}
    return pipelines | {f"{path.parent.name}/{path.stem}": path for path in sorted((top / "trainings").glob("*/*.yaml"))}


def config_path(name_or_path: str | Path) -> Path:
    """The file of a shipped config's name, or the path itself.

    Raises:
        InputError: there is neither; names what is shipped and near.
    """
    name, shipped = str(name_or_path), shipped_configs()
    if name in shipped:
        return shipped[name]
    if not Path(name).exists() and Path(name).suffix not in (".yaml", ".yml", ".json"):
        folder = name.rpartition("/")[0]
        near = [one for one in shipped if one.rpartition("/")[0] == folder] or list(shipped)
        raise InputError(f"--config {name:.200}: no file, and no config that is shipped; {nearest(name, near)}")
    return Path(name)


def read_settings(name_or_path: str | Path, assignments: Iterable[str] = ()) -> dict[str, Any]:
    """Plain data of a config, in which weights that lie beside the file are named by their path, with `a.b=value` overrides.

    Raises:
        InputError: there is no such config, it is not YAML of settings, or an override does not fit.
    """
    path = config_path(name_or_path)
    return override(beside(read_yaml(path), path.parent), assignments)


def beside(settings: Any, folder: Path) -> Any:
    """A copy in which `weights` and `initial` that are files of `folder` are paths to them; others stay as they are."""
    if isinstance(settings, Mapping):
        return {key: _found(value, folder) if key in FILE_KEYS else beside(value, folder) for key, value in settings.items()}
    return [beside(value, folder) for value in settings] if isinstance(settings, list) else settings


def _found(value: Any, folder: Path) -> Any:
    if not isinstance(value, str):
        return beside(value, folder)
    try:
        return str(folder / value) if value and (folder / value).is_file() else value
    except (OSError, ValueError):  # no name of a file
        return value
