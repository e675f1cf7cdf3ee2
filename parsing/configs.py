"""Typed configs from YAML: closed tables, nothing executable, unknown keys refused with the nearest valid name."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, dataclass_transform

import pydantic
import pydantic.dataclasses

from parsing.errors import InputError
from parsing.yaml_files import read_yaml_value, yaml_value

T = TypeVar("T")
Table = Mapping[str, str]  # component name -> "module:ConfigClass", imported only when chosen


@dataclass_transform(frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that refuses unknown keys, wrong types, NaN and infinity; every config is declared with it."""
    return cast(type[T], pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False))(cls))


class StageConfig(Protocol):
    """A frozen dataclass beside its component; `build` calls the component with plain arguments."""

    name: str

    def build(self, device: str) -> Any: ...


def nearest(name: str, names: Iterable[object]) -> str:
    """A hint for a mistyped name: the closest valid one, and all that are valid."""
    names = sorted(map(str, names))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return (f"did you mean {close[0]!r}? " if close else "") + f"valid: {', '.join(names)}"


def parse_config(config_class: type[T], value: Any, where: str) -> T:
    """Validate plain data against a dataclass.

    Args:
        value: nested dicts, lists and scalars.
        where: file and key that the value came from, for messages.

    Raises:
        InputError: one line that names the first offending key, its value and what was expected.
    """
    try:
        return pydantic.TypeAdapter(config_class).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(step) for step in first["loc"])
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            known = _field_names(config_class, first["loc"][:-1])
            raise InputError(f"{where}: unknown key {path!r:.80}; {nearest(str(first['loc'][-1]), known)}") from None
        found = "" if first["type"] == "missing" else f" (found {first['input']!r:.80})"
        raise InputError(f"{where}: {path or 'value':.160}: {first['msg']:.300}{found}") from None


def _field_names(config_class: Any, path: Sequence[Any]) -> list[str]:
    for step in path:
        types = typing.get_type_hints(config_class)
        config_class = types.get(step, config_class)
    return [field.name for field in dataclasses.fields(config_class)] if dataclasses.is_dataclass(config_class) else []


def resolve(table: Table, value: Any, where: str) -> StageConfig:
    """The typed config of the component that `value["name"]` chooses from a closed table.

    Raises:
        InputError: `value` is no mapping, or the name is not in the table, or a key does not fit.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise InputError(f"{where}: found {value!r:.80}, expected a mapping with a name; valid: {', '.join(sorted(table))}")
    if value["name"] not in table:
        raise InputError(f"{where}: unknown name {value['name']!r:.80}; {nearest(value['name'], table)}")
    module, _, attribute = table[value["name"]].partition(":")
    config_class = getattr(importlib.import_module(module), attribute)
    return cast(StageConfig, parse_config(config_class, dict(value), where))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file; never runs tags.

    Raises:
        InputError: the file cannot be read, is no YAML (see `yaml_files`), or holds something other than a mapping.
    """
    return _mapping(read_yaml_value(path), str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping from text; never runs tags.

    Raises:
        InputError: it is no YAML (see `yaml_files`), or holds something other than a mapping.
    """
    return _mapping(yaml_value(text, where), where)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {type(value).__name__}, expected a mapping of settings")
    return value


def override(config: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of `config` with `a.b=value` assignments applied; values are read as YAML scalars.

    List items are named by number (`recognizers.0.num_clips=2`). Whether a key exists is checked later, by its type.

    Raises:
        InputError: an assignment has no `=`, or walks into something that has no keys.
    """
    result = cast(dict[str, Any], _copy(config))
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise InputError(f"--set {assignment:.80}: expected key.path=value")
        node: Any = result
        *parents, last = path.split(".")
        for step in parents:
            node = _child(node, step, assignment)
        _assign(node, last, yaml_value(text, f"--set {assignment:.80}"), assignment)
    return result


def _child(node: Any, step: str, assignment: str) -> Any:
    if isinstance(node, dict):
        if step not in node:
            raise InputError(f"--set {assignment:.80}: unknown key {step!r:.80}; {nearest(step, node)}")
        return node[step]
    if isinstance(node, list) and step in _numbers(node):
        return node[int(step)]
    raise InputError(f"--set {assignment:.80}: nothing is called {step!r:.80} there")


def _assign(node: Any, key: str, value: Any, assignment: str) -> None:
    if isinstance(node, dict):
        node[key] = value
    elif isinstance(node, list) and key in _numbers(node):
        node[int(key)] = value
    else:
        raise InputError(f"--set {assignment:.80}: nothing is called {key!r:.80} there")


def _numbers(node: list[Any]) -> set[str]:
    return {str(i) for i in range(len(node))}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
