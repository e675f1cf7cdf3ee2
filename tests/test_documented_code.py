"""What the documents show of Python, SQL, YAML and JSON holds: it is run, or read as what it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import duckdb
import numpy as np
import pytest
import yaml
from builders import write_video
from documented import as_default
from pages import PAGES, code_blocks

from detectors.data import DetectionDataConfig
from parsing.configs import parse_config, read_yaml
from parsing.datasets import Problems, read_records
from parsing.document import parse_of
from parsing.entries import ParseDocument
from pipelines import export
from pipelines.config_files import config_path
from pipelines.parse.config import PipelineConfig

NOT_HERE = "import fiftyone"  # of a program whose size no test is worth; such a block is compiled alone
RUN_AS_A_WHOLE = {"five_minutes.md", "own_parts.md", "add_a_stage.md", "tasks.md"}  # by tests/test_tutorials.py


def of(language: str) -> list[Any]:
    """Blocks of a language, by page."""
    return [
        pytest.param(page, block.text, id=f"{page.name}{i}")
        for page in PAGES
        for i, block in enumerate(code_blocks(page))
        if block.language == language
    ]


def settings_of(text: str) -> Iterator[dict[str, Any]]:
    """What a block of YAML sets: all of it, or each key by itself where one stands several times, as alternatives do."""
    keys = re.findall(r"^(\w+):", text, re.MULTILINE)
    for piece in [text] if len(set(keys)) == len(keys) else re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        if piece.strip():
            yield yaml.safe_load(piece)


@pytest.mark.parametrize(("page", "text"), of("yaml"))
def test_yaml_is_of_a_pipeline_or_of_the_data_of_detectors(page: Path, text: str) -> None:
    default = read_yaml(config_path("default"))
    for settings in settings_of(text):
        if "data" in settings:
            parse_config(DetectionDataConfig, settings["data"], page.name)
        else:
            parse_config(PipelineConfig, default | settings, page.name)


@pytest.mark.parametrize(("page", "text"), of("json"))
def test_json_is_a_parse_or_annotations(page: Path, text: str) -> None:
    found = json.loads(text)
    if "schema_version" in found:
        parse = parse_of(parse_config(ParseDocument, found, page.name), page)
        assert parse.frames[0].persons.track_ids is not None
    else:
        assert {one["category_id"] for one in found["annotations"]} <= {one["id"] for one in found["categories"]}


def test_csv_is_read_as_parts(tmp_path: Path) -> None:
    (text,) = (block.text for page in PAGES for block in code_blocks(page) if block.text.startswith("image,person_box"))
    (tmp_path / "parts.csv").write_text(text)
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((100, 130, 3), np.uint8))
    records = read_records("parts_csv", tmp_path / "parts.csv", tmp_path, Problems())
    assert [len(record.objects) for record in records] == [2, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_pipeline: Path) -> Path:
    """Where the blocks run: video.mp4 and the tables of its parse."""
    top = tmp_path_factory.mktemp("documented")
    write_video(top / "video.mp4", [np.full((64, 96, 3), 20 * i, np.uint8) for i in range(6)])
    words = ["table", str(top / "video.mp4"), "--format", "parquet", "--out", str(top / "tables"), "--config", str(tiny_pipeline)]
    assert export.main(export.build_parser(words).parse_args(words)) == 0
    return top


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in RUN_AS_A_WHOLE], ids=lambda page: page.name)
def test_python_and_sql_run(page: Path, folder: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    as_default(monkeypatch, tiny_pipeline)
    namespace: dict[str, Any] = {"pictures": lambda: [np.zeros((64, 96, 3), np.uint8)] * 3}  # of a program of the reader's
    for block in code_blocks(page):
        if block.language == "python":
            code = compile(block.text, page.name, "exec")
            if NOT_HERE not in block.text:
                exec(code, namespace)
        elif block.language == "sql":
            duckdb.sql(block.text).fetchall()
