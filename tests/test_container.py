"""The Dockerfile copies what there is, installs by hash, and ends as a user without rights."""

from __future__ import annotations

import tomllib

from pages import ROOT

INSTRUCTIONS = [line.split() for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line[:1].isupper()]
LET_IN = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def of(name: str) -> list[list[str]]:
    return [words[1:] for words in INSTRUCTIONS if words[0] == name]


def test_sources_are_there_and_let_in() -> None:
    sources = [word for words in of("COPY") if not words[0].startswith("--from") for word in words[:-1]]
    assert sorted(sources) == sorted(LET_IN)
    assert not [source for source in sources if not (ROOT / source).exists()]


def test_every_package_and_what_the_wheel_is_made_of_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"configs", "pyproject.toml", "requirements.lock", project["project"]["readme"], "LICENSE"} == set(LET_IN)


def test_dependencies_are_those_of_the_lock_by_hash() -> None:
    (lock,) = [words for words in of("RUN") if "-r" in words]
    assert {"--require-hashes", "--no-deps"} <= set(lock)
    assert lock[-1].endswith("requirements.lock")


def test_it_runs_the_command_as_nobody_special() -> None:
    assert INSTRUCTIONS[-1][0] == "CMD"
    assert of("ENTRYPOINT") == [['["partwise"]']]
    assert of("USER")[-1] not in (["root"], ["0"])
