"""Command lines that are built from typed configs."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from parsing.configs import config
from parsing.errors import InputError
from pipelines.options import Option, add_options, names_to_offer, read_options


@config
class Settings:
    truth: Annotated[Path, Option("annotations", "FILE")]
    scores: Annotated[tuple[Path, ...], Option("saved scores", "NPZ")] = ()
    share: Annotated[float, Field(ge=0, le=1), Option("of a vote", "SHARE")] = 0.25
    form: Annotated[Literal["2021", "2022"], Option("of the file")] = "2022"
    at_least_one: Annotated[bool, Option("the best where none passes")] = False
    groups: Annotated[Path | None, Option("exclusive classes", "FILE")] = None


def read(*arguments: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_options(parser, Settings)
    return read_options(Settings, parser.parse_args(arguments), "here")


def test_options_become_a_config() -> None:
    assert read("--truth", "t.json") == Settings(Path("t.json"))
    given = read("--truth", "t", "--scores", "a", "b", "--share", "1", "--form", "2021", "--at-least-one", "--groups", "g")
    assert given == Settings(Path("t"), (Path("a"), Path("b")), 1.0, "2021", True, Path("g"))


@pytest.mark.parametrize(("value", "message"), [("2", "less than or equal to 1"), ("x", "valid number"), ("nan", "finite number")])
def test_a_value_that_does_not_fit_is_named(value: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"here: share: Input should be .*{message}.* \(found '{value}'\)"):
        read("--truth", "t", "--share", value)


@pytest.mark.parametrize("arguments", [[], ["--truth", "t", "--form", "1999"], ["--truth", "t", "--scores"]])
def test_what_argparse_refuses_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read(*arguments)
    assert "usage:" in capsys.readouterr().err


def test_help_tells_choices_and_defaults() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Settings)
    text = " ".join(parser.format_help().split())
    for part in (
        "--truth FILE annotations",
        "--form {2021,2022} of the file (default: 2022)",
        "of a vote (default: 0.25)",
        "--scores NPZ [NPZ ...]",
    ):
        assert part in text
    assert "default: None" not in text


def test_only_the_format_that_is_chosen_is_imported() -> None:
    assert names_to_offer({"a": "", "b": ""}, ["b", "x"]) == ["b"]
    assert names_to_offer({"a": "", "b": ""}, ["--help"]) == ["a", "b"]
    code = "import sys; from pipelines.export import build_parser; build_parser(['kinetics-tps']); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pipelines.exporters.kinetics_tps" in modules
    assert not {"pipelines.exporters.tinyvirat", "torch"} & set(modules)
