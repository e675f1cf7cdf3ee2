"""Every command in the documents names options, scripts and targets that exist."""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from pages import PAGES, ROOT, code_blocks, quoted

from pipelines.main import COMMANDS

BEFORE = r"^(?:\w+=\S+ )*(?:\$ )?(?:docker run (?:-\S+ |'[^']*' |\"[^\"]*\" )*)?"
COMMAND = re.compile(BEFORE + r"(?:python -m pipelines\.(?P<module>\w+)|partwise (?P<name>[\w-]+))(?P<words>.*)")
NAMES = {module.rpartition(".")[2]: name for name, (module, _) in COMMANDS.items()}
ENDS = ("|", "||", "&&", ";", ">", "#")
PLACES = {"STAGE", "FORMAT", "NAME", "…", "..."}  # words that stand for others


def whole_lines(page: Path) -> Iterator[str]:
    """Lines of the code blocks of a page."""
    for block in code_blocks(page):
        yield from block.lines


def lines(page: Path) -> Iterator[str]:
    """Lines of the code blocks of a page, and what stands as code in its text."""
    yield from whole_lines(page)
    yield from quoted(page)


def commands(page: Path, of: Callable[[Path], Iterable[str]] = lines) -> list[tuple[str, list[str]]]:
    found = []
    for line in of(page):
        match = COMMAND.match(line.strip())
        if match and match["module"] != "main":
            name = match["name"] or NAMES.get(match["module"], f"no command for pipelines.{match['module']}")
            found.append((name, until_end(match["words"])))
    return found


def until_end(text: str) -> list[str]:
    """The words of a command, without what a shell does with it and without a comment."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # a quotation of a part of a line
        words = text.split()
    return words[: next((i for i, word in enumerate(words) if word in ENDS), len(words))]


@functools.cache
def parser_of(name: str) -> argparse.ArgumentParser:
    build = importlib.import_module(COMMANDS[name][0]).build_parser
    parser = build([]) if inspect.signature(build).parameters else build()
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def options_for(parser: argparse.ArgumentParser, words: list[str]) -> set[str]:
    """Options of a command and of its sub-commands that the words name; of all sub-commands, where they name none."""
    options = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            named = [word for word in re.split(r"[\s|]", words[0] if words else "") if word in action.choices]
            assert named or not words or words[0] in PLACES or words[0].startswith("-"), f"{words[0]} is none of {list(action.choices)}"
            for one in named or action.choices:
                options |= options_for(action.choices[one], words[1:])
    return options


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_options(page: Path) -> None:
    for name, words in commands(page):
        if name in ("--help", "--version", "COMMAND"):
            continue
        assert name in COMMANDS, f"partwise {name}"
        known = options_for(parser_of(name), words)
        given = [re.split(r"[=|\]]", word.strip("[]"))[0] for word in words if word.strip("[").startswith("--")]
        assert not [option for option in given if option not in known | {"--"}], f"{name} {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whole_lines_are_parsed(page: Path) -> None:
    for name, words in commands(page, whole_lines):
        stands_for_others = any(re.search(r"…|\.\.\.|\||^\$", word) for word in words) or set(words) & PLACES
        if name in COMMANDS and not stands_for_others:
            build = importlib.import_module(COMMANDS[name][0]).build_parser
            parser = build(words) if inspect.signature(build).parameters else build()
            assert parser.parse_args(words) is not None, words  # which ends the test where they do not fit


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_exist_with_their_options(page: Path) -> None:
    for line in lines(page):
        match = re.match(r"(?:\w+=\S+ )*(?:\$ )?python (?P<script>(?:scripts|benchmarks)/[\w./]+)(?P<words>.*)", line.strip())
        if match:
            source = (ROOT / match["script"]).read_text(encoding="utf-8")
            given = [word.partition("=")[0] for word in until_end(match["words"]) if word.startswith("--")]
            assert not [option for option in given if f'"{option}"' not in source], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_exist(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in lines(page):
        if line.startswith("make "):
            words = [word for word in until_end(line.removeprefix("make ")) if "=" not in word and word not in PLACES]
            assert not [word for word in words if re.fullmatch(r"[\w-]+", word) and word not in targets], line


def test_wrong_options_would_be_found() -> None:
    assert "--out" in options_for(parser_of("run"), [])
    assert "--no-such-option" not in options_for(parser_of("run"), [])
    assert any(commands(page) for page in PAGES)
    with pytest.raises(AssertionError):
        options_for(parser_of("export"), ["no_such_format"])
