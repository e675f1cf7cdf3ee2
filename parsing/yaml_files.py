"""YAML from strangers: plain data in bounded time and memory.

On top of PyYAML's safe loader, which runs no tags: bounded depth and size, of what aliases stand for too (a few lines of
them expand to gigabytes), no key twice, and no number that is long enough to take minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from parsing.errors import InputError
from parsing.memory import read_bounded

MAX_BYTES = 2**20  # PyYAML reads about a megabyte in ten seconds
MAX_DEPTH = 50
MAX_NODES = 300_000  # mappings, lists and scalars, each counted as often as an alias repeats it
MAX_NUMBER = 64  # characters


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader within bounds; errors say line and column."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.depth > MAX_DEPTH:
            raise _refusal(self.peek_event(), f"nested deeper than {MAX_DEPTH}")  # type: ignore[no-untyped-call]
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The root, after a walk over all that it stands for, aliases followed; one that holds itself is too deep."""
        root = super().get_single_node()
        waiting = [(root, 0)] if root else []
        count = len(waiting)
        while waiting:
            node, depth = waiting.pop()
            inner = _inner(node)
            count += len(inner)
            if depth > MAX_DEPTH or count > MAX_NODES:
                raise _refusal(node, f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_NODES:,} values")
            waiting += [(each, depth + 1) for each in inner]
        return root

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and len(node.value) > MAX_NUMBER:
            raise _refusal(node, f"a number of {len(node.value)} characters, at most {MAX_NUMBER} are read")
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):  # 2024-13-45, or a word tagged !!int
            raise _refusal(node, f"{node.value!r:.40} is no {node.tag.rpartition(':')[2]}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _refusal(key, f"the key {key.value!r:.60} stands twice")
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _refusal(where: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


def yaml_value(text: str, where: str) -> Any:
    """The one value that a YAML text holds: nested dicts, lists and scalars.

    Args:
        where: what the text is, for messages.

    Raises:
        InputError: it is no YAML, or holds a key twice, more than 300,000 values, depth beyond 50 or a number of more than
            64 characters; names line and column.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise InputError(f"{where}: not readable as YAML ({' '.join(str(error.problem).split())[:160]}{place})") from None
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise InputError(f"{where}: not readable as YAML ({' '.join(str(error).split())[:160]})") from None


def read_yaml_value(path: Path) -> Any:
    """The one value of a file of at most 1 MiB.

    Raises:
        InputError: it cannot be read, is too large, or as in `yaml_value`.
    """
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not readable as YAML ({error})") from None
    return yaml_value(text, str(path))
