"""The wheel: built, installed alone, run from another folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: object, cwd: Path, **environment: str) -> str:
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs."""
    top = tmp_path_factory.mktemp("wheel")
    source = top / "source"
    source.mkdir()
    for name in ("parsing", "detectors", "recognizers", "pipelines", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", top, source, cwd=top)
    (wheel,) = top.glob("*.whl")
    shutil.rmtree(source)
    target = top / "site"
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel, cwd=top)
    return target


def test_the_wheel_holds_every_file_of_the_packages(installed: Path) -> None:
    for name in ("parsing", "detectors", "recognizers", "pipelines"):
        files = {path.relative_to(ROOT) for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert not [path for path in sorted(files) if not (installed / path).is_file()]
    shipped = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    assert not [path for path in sorted(shipped) if not (installed / "pipelines/configs/trainings" / path).is_file()]
    assert not (installed / "tests").exists()


def test_the_installed_command_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    command = installed / "bin" / "partwise"
    path = {"PYTHONPATH": str(installed)}
    assert run(command, "--version", cwd=tmp_path, **path).startswith("partwise ")
    assert "part_states/compact" in run(command, "list", "configs", cwd=tmp_path, **path)
    assert run(command, "run", "--help", cwd=tmp_path, **path).startswith("usage: partwise run")
    where = run("-c", "import pipelines.config_files as c; print(c.config_path('part_states/compact'))", cwd=tmp_path, **path)
    assert Path(where.strip()).is_relative_to(installed)
