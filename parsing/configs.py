"""Typed configs from YAML: closed tables, nothing executable, unknown keys refused with the nearest valid name."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, dataclass_transform

import pydantic
import pydantic.dataclasses
from pydantic_core import PydanticCustomError, core_schema

from parsing.errors import InputError
from parsing.yaml_files import read_yaml_value, yaml_value

T = TypeVar("T")
Count = typing.Annotated[int, pydantic.Field(ge=1, le=100_000)]  # of epochs, frames, items
Share = typing.Annotated[float, pydantic.Field(ge=0, le=1)]
Table = Mapping[str, str]  # component name -> "module:ConfigClass", imported only when chosen


@dataclass_transform(frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that refuses unknown keys, wrong types, NaN and infinity; every config is declared with it."""
    return cast(type[T], pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False))(cls))


class StageConfig(Protocol):
    """A frozen dataclass beside its component; `build` calls the component with plain arguments."""

    @property
    def name(self) -> str: ...

    def build(self, device: str) -> Any: ...


def nearest(name: str, names: Iterable[object]) -> str:
    """A hint for a mistyped name: the closest valid one, and all that are valid."""
    names = sorted(map(str, names))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [one for one in names if name and one.startswith(name)]
    return (f"did you mean {close[0]!r}? " if close else "") + f"valid: {', '.join(names)}"


def chosen_class(table: Table, name: str) -> Any:
    """The class behind a name of a closed table, imported now."""
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """The type of a config's field that holds the config of one component: `Annotated[StageConfig, Choice(TABLE)]`.

    A name is looked up in a closed table and the config class behind it imported only then, so nothing but what the table
    names can be built, and errors carry the whole path of their key.

    Args:
        named_by: the field of the same config, declared before this one, that holds the name; without it the value itself
            holds its `name`.
        key, otherwise: what the value calls its name in that case, and the name of one that has none.
    """

    table: Table
    named_by: str = ""
    key: str = "name"
    otherwise: str | None = None

    def config_class(self, value: Any, siblings: Mapping[str, Any]) -> Any:
        """The class that a name chooses; raises PydanticCustomError where the value has none or the table has no such name."""
        holder = siblings if self.named_by else value
        name = holder.get(self.named_by or self.key, self.otherwise) if isinstance(holder, Mapping) else None
        if not isinstance(name, str):
            valid = ", ".join(sorted(self.table))
            raise PydanticCustomError(
                "choice", "found {value}, expected a mapping with a name; valid: {valid}", {"value": f"{value!r:.80}", "valid": valid}
            )
        if name not in self.table:
            raise PydanticCustomError("choice", "unknown name {name}; {hint}", {"name": f"{name!r:.80}", "hint": nearest(name, self.table)})
        return chosen_class(self.table, name)

    def __call__(self, value: Any, siblings: Mapping[str, Any] = types.MappingProxyType({})) -> Any:
        if dataclasses.is_dataclass(value):  # typed already
            return value
        return pydantic.TypeAdapter(self.config_class(value, siblings)).validate_python(value)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(lambda value, info: self(value, info.data or {}))


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
        first = error.errors(include_url=False)[0]
        path = ".".join(str(step) for step in first["loc"])
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            known = _field_names(config_class, value, first["loc"][:-1])
            raise InputError(f"{where}: unknown key {path!r:.80}; {nearest(str(first['loc'][-1]), known)}") from None
        if first["type"] == "value_error":  # of a config's own check, which says what it found
            raise InputError(": ".join(filter(None, [where, path[:160], first["msg"].removeprefix("Value error, ")[:300]]))) from None
        found = "" if first["type"] in ("missing", "choice") else f" (found {first['input']!r:.80})"
        message = "expected a list" if first["type"] == "tuple_type" else first["msg"]  # YAML has no tuples
        place = f"{path:.160}: " if path else "" if first["type"] == "choice" else "value: "
        raise InputError(f"{where}: {place}{message:.300}{found}") from None


def _field_names(kind: Any, value: Any, path: Sequence[Any]) -> list[str]:
    """Fields of the config that lies at `path` inside `value`, which is of type `kind`."""
    kind = _config_class(kind, value, {})
    for step in path:
        if dataclasses.is_dataclass(kind):
            inner, siblings = typing.get_type_hints(kind, include_extras=True).get(str(step)), value
            value = value.get(step)
        else:
            inner, siblings, value = typing.get_args(kind)[0], {}, value[step]  # of a tuple
        kind = _config_class(inner, value, siblings)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _config_class(kind: Any, value: Any, siblings: Mapping[str, Any]) -> Any:
    """What an optional, annotated or chosen type stands for."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return _config_class(next(one for one in typing.get_args(kind) if one is not type(None)), value, siblings)
    if typing.get_origin(kind) is not typing.Annotated:
        return kind
    chosen = next((extra for extra in kind.__metadata__ if isinstance(extra, Choice)), None)
    return _config_class(kind.__origin__, value, siblings) if chosen is None else chosen.config_class(value, siblings)


def resolve(table: Table, value: Any, where: str) -> StageConfig:
    """The typed config of the component that `value["name"]` chooses from a closed table.

    Raises:
        InputError: `value` is no mapping, or the name is not in the table, or a key does not fit.
    """
    return parse_config(cast(type[StageConfig], typing.Annotated[StageConfig, Choice(table)]), value, where)


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
