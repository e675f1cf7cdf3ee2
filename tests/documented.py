"""Runs the code of a page as it stands, with small untrained networks in the place of the shipped ones."""

from __future__ import annotations

import importlib
import inspect
import runpy
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pages import code_blocks

from pipelines import config_files
from pipelines.main import COMMANDS

NOT_RUN = ("make ", "docker ", "pip ", "python -m venv", ".venv/bin/pip", "eval ")  # which install things
SMALL_FIT = ["initial=''", "pretrained=none", "fit.epochs=1", "fit.batch_size=32", "eval_every=1", "fit.precision=32-true"]
SMALLER: Mapping[tuple[str, str], Sequence[str]] = {  # settings that make a command quick
    ("train", "part_detector"): [
        *SMALL_FIT,
        "architecture.backbone=test_efficientnet", "architecture.levels=[1, 2]", "architecture.fpn_channels=8",
        "architecture.anchor_sizes=[[16], [32], [64]]", "architecture.hidden=16", "architecture.input_px=64",
        "architecture.proposals=20", "architecture.rois=16", "frozen_level=0",
    ],
    ("train", "part_states"): [
        *SMALL_FIT,
        "architecture.backbone=test_efficientnet", "architecture.part_level=1", "architecture.person_level=2",
        "architecture.pyramid_channels=0", "architecture.input_px=64", "architecture.part_crop_px=16", "architecture.dim=16",
        "architecture.heads=2", "architecture.depth=1",
    ],
}  # fmt: skip


def as_default(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    """Let the name `default` of pipelines mean this config."""
    shipped = config_files.shipped_configs()
    monkeypatch.setattr(config_files, "shipped_configs", lambda: shipped | {"default": config})


def run_page(page: Path) -> None:
    """Run every block of a page in the working folder, in their order; Python shares one namespace.

    A block with a name is written to the file of this name, for those after it.
    """
    names: dict[str, Any] = {}
    for block in code_blocks(page):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)
        elif block.language == "sql":
            duckdb.sql(block.text).fetchall()
        elif not block.language:
            for line in block.lines:
                run_line(line)


def run_line(line: str) -> None:
    """Run one command in this process."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["partwise"]:
        run_command(*words[1:])
    elif words[:1] == ["python"] and words[1].endswith(".py"):
        runpy.run_path(words[1])
    else:
        assert line.startswith(NOT_RUN), f"{line!r}: neither run nor known as what installs"


def run_command(name: str, *words: str) -> None:
    """Run a command of `partwise` as its module does."""
    module = importlib.import_module(COMMANDS[name][0])
    small = SMALLER.get((name, words[0]), ()) if words else ()
    given = [*words, *(["--set", *small] if small else [])]
    parser = module.build_parser(given) if inspect.signature(module.build_parser).parameters else module.build_parser()
    assert module.main(parser.parse_args(given)) == 0, shlex.join([name, *words])
