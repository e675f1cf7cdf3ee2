"""Configs by name, and weights beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsing.errors import InputError
from pipelines.config_files import config_path, read_settings, shipped_configs

ROOT = Path(__file__).parents[2]


def test_every_config_has_a_name() -> None:
    files = {path.relative_to(ROOT / "configs").with_suffix("").as_posix() for path in (ROOT / "configs").glob("*/*.yaml")}
    assert files
    assert files | {"default", "public", "public_fast"} <= shipped_configs().keys()
    assert all(config_path(name).is_file() for name in shipped_configs())


@pytest.mark.parametrize(
    ("name", "meant"),
    [("part_states/compakt", "'part_states/compact'"), ("part_state/compact", "'part_states/compact'"), ("defualt", "'default'")],
)
def test_a_wrong_name_is_told_with_the_nearest(name: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=meant):
        config_path(name)


def test_weights_beside_the_config_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "configs", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
        (place / "mine.safetensors").touch()
    (elsewhere / "only_here.safetensors").touch()
    monkeypatch.chdir(elsewhere)
    (folder / "one.yaml").write_text(
        "a: {weights: mine.safetensors}\nb:\n  - {initial: only_here.safetensors, note: mine.safetensors}\nc: 1\n"
    )
    found = read_settings(folder / "one.yaml", ["c=2"])
    assert found == {
        "a": {"weights": str(folder / "mine.safetensors")},
        "b": [{"initial": "only_here.safetensors", "note": "mine.safetensors"}],
        "c": 2,
    }
    assert read_settings(folder / "one.yaml", ["a.weights=mine.safetensors"])["a"] == {"weights": "mine.safetensors"}


@pytest.mark.parametrize("value", ["''", "default/part_states", "[1, {weights: x}]", "1", '"\\0"', "a" * 5000])
def test_other_weights_stay_as_they_are(value: str, tmp_path: Path) -> None:
    import yaml

    (tmp_path / "one.yaml").write_text(f"weights: {value}\n")
    assert read_settings(tmp_path / "one.yaml") == {"weights": yaml.safe_load(value)}
