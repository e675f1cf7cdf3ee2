"""Shell completion of `partwise` in bash and zsh, by argcomplete; docs/install.md says how a shell is told of it.

The shell calls `partwise` with `_ARGCOMPLETE` and the line in the environment, and reads what could come next.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
from collections.abc import Sequence
from typing import Any, cast

import argcomplete

from pipelines.main import COMMANDS


def complete() -> None:
    """Say what may stand at the cursor, and exit."""
    argcomplete.autocomplete(line_parser(os.environ.get("COMP_LINE", "").split()[1:]), always_complete_options="long")


def line_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of all commands, in which the one that is typed already has its options, so that only its module is imported."""
    parser = argparse.ArgumentParser("partwise", add_help=False)
    parser.add_argument("--help", action="help")
    parser.add_argument("--version", action="version", version="")
    commands = parser.add_subparsers()
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    for name in commands.choices.keys() & set(words[:1]):
        commands.choices[name] = built(name, words[1:])
    return parser


def built(name: str, words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a command, whose `--config` offers the configs that are shipped; where none fits, the shell offers files."""
    build = importlib.import_module(COMMANDS[name][0]).build_parser
    parser = cast(argparse.ArgumentParser, build(words) if inspect.signature(build).parameters else build())
    for action in options_of(parser):
        if action.dest == "config":
            cast(Any, action).completer = shipped
    return parser


def shipped(**_: object) -> list[str]:
    """Names of the configs that come along."""
    from pipelines.config_files import shipped_configs  # late, as pydantic comes with it

    return list(shipped_configs())


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Options of a command and of its sub-commands."""
    below = [one for action in parser._actions if isinstance(action, argparse._SubParsersAction) for one in action.choices.values()]
    return [*parser._actions, *(action for one in below for action in options_of(one))]
