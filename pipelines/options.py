"""Command-line options from typed configs: one for each field, described where the field is declared."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from parsing.configs import parse_config

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """What `--help` says of a field, as in `Annotated[Path, Option("class_map.json", "FILE")]`; a default is added."""

    help: str
    metavar: str = "VALUE"
    positional: bool = False


def names_to_offer(table: Mapping[str, str], argv: Sequence[str] | None) -> list[str]:
    """The entry that a command line chooses with its first word, so that only this one is imported; else all, for the help."""
    return [name for name in table if argv and name == argv[0]] or list(table)


def add_options(parser: argparse.ArgumentParser, config_class: Any, offered: Collection[str] = ()) -> None:
    """Add an option for each field of a config; values are checked by `read_options`.

    Args:
        offered: fields for which the parser has an option already.
    """
    hints = typing.get_type_hints(config_class, include_extras=True)
    for field in dataclasses.fields(config_class):
        if field.name not in offered:
            _add_option(parser, field, hints[field.name])


def read_options(config_class: type[T], arguments: argparse.Namespace, where: str) -> T:
    """The config that the options of `add_options` give; those that were not given keep their defaults.

    Raises:
        InputError: a value does not fit; names it.
    """
    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    return parse_config(config_class, {name: value for name, value in values.items() if value is not None}, where)


def _add_option(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    option = next(item for item in hint.__metadata__ if isinstance(item, Option))
    kind = _without_none(hint.__origin__)
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    settings: dict[str, Any] = {"help": _with_default(option.help, field.default)}
    if kind is bool:
        settings |= {"action": "store_true", "default": None}
    elif typing.get_origin(kind) is Literal:
        settings |= {"choices": typing.get_args(kind)}
    else:
        settings |= {"metavar": option.metavar}
    if typing.get_origin(kind) is tuple:
        settings |= {"nargs": "+"}
        kind = typing.get_args(kind)[0]
    if kind is Path:
        settings |= {"type": Path}
    if option.positional:
        parser.add_argument(field.name, **settings)
    else:
        parser.add_argument(f"--{field.name.replace('_', '-')}", required=required, **settings)


def _without_none(kind: Any) -> Any:
    if not isinstance(kind, types.UnionType):
        return kind
    return next(item for item in typing.get_args(kind) if item is not types.NoneType)


def _with_default(text: str, default: Any) -> str:
    shown = default not in (dataclasses.MISSING, None, False, (), "")
    return f"{text} (default: {default:g})" if shown and isinstance(default, float) else f"{text} (default: {default})" if shown else text
