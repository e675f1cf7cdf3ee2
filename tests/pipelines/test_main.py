"""The command `partwise`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.command import CommandParser, add_set_option
from pipelines.main import COMMANDS, main, usage


def partwise(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["partwise", *words])
    main()


def test_help_and_version_import_no_library() -> None:
    code = "import sys; sys.argv = ['partwise', '--help']; from pipelines.main import main; main(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "usage: partwise" in done.stdout
    modules = done.stdout.splitlines()[-1]
    assert "'pipelines.main'" in modules
    assert not [name for name in ("torch", "numpy", "pydantic", "cv2", "parsing") if f"'{name}'" in modules]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    partwise(monkeypatch, *words)
    assert capsys.readouterr().out == usage() + "\n"
    assert all(f"\n  {name} " in usage() for name in COMMANDS)


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    partwise(monkeypatch, "--version")
    assert capsys.readouterr().out.startswith("partwise ")


@pytest.mark.parametrize(
    ("word", "meant"), [("shwo", "'show'"), ("export_model", "'export-model'"), ("", "valid: "), ("\x1b[2J", "valid: ")]
)
def test_an_unknown_command_is_one_line(word: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        partwise(monkeypatch, word)
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert meant in error


def test_a_command_runs_under_its_own_name() -> None:
    command = [sys.executable, "-m", "pipelines.main", "zoo", "where", "--no-such-option"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert "partwise zoo" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_calls_itself_by_its_name(name: str) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    assert module.build_parser().prog == f"partwise {name}"


@pytest.mark.parametrize(
    ("words", "settings", "sources"),
    [
        (["--set", "a=1", "b.c=2", "x.mp4"], ["a=1", "b.c=2"], ["x.mp4"]),
        (["x.mp4", "--set", "a=1", "--set", "b=2"], ["a=1", "b=2"], ["x.mp4"]),
        (["--set=a=1", "b=2", "x.mp4"], ["a=1", "b=2"], ["x.mp4"]),
        (["--set", "a=1", "./b=2.mp4"], ["a=1"], ["./b=2.mp4"]),
        (["--set", "a=1", "--", "b=2"], ["a=1"], ["b=2"]),
        (["a=1"], [], ["a=1"]),
        (["--set", "wrong", "b=2"], ["wrong", "b=2"], []),
    ],
)
def test_several_settings_follow_one_set(words: list[str], settings: list[str], sources: list[str]) -> None:
    parser = CommandParser("run")
    parser.add_argument("sources", nargs="*")
    add_set_option(parser, "a=1")
    found = parser.parse_args(words)
    assert (found.set, found.sources) == (settings, sources)
