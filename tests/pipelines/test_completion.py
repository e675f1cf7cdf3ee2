"""Completion as a shell asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.main import COMMANDS

ROOT = Path(__file__).parents[2]
argcomplete = pytest.importorskip("argcomplete")
HEAVY = ("convert", "diagnose")  # whose options follow from networks


def answers(line: str, tmp_path: Path) -> list[str]:
    """What `partwise` answers a shell whose cursor stands at the end of the line."""
    out = tmp_path / "answers"
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE": "1"}
    asked |= {"_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(out)}
    subprocess.run([sys.executable, "-m", "pipelines.main"], cwd=ROOT, env=os.environ | asked, check=False, capture_output=True)
    return out.read_text().split("\n") if out.exists() else []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("partwise se", ["select"]),
        ("partwise --v", ["--version"]),
        ("partwise run --ev", ["--every"]),
        ("partwise run --device c", ["cpu", "cuda"]),
        ("partwise train part_states --config part_states/co", ["part_states/compact", "part_states/corrected"]),
        ("partwise export cvat --tol", ["--tolerance-px"]),
        ("partwise no_such_command --e", []),
    ],
)
def test_what_may_come_next(line: str, expected: list[str], tmp_path: Path) -> None:
    assert [word for word in answers(line, tmp_path) if word not in ("", "--help")] == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_asks_it(tmp_path: Path) -> None:
    command = tmp_path / "partwise"
    command.write_text(f"#!{sys.executable}\nfrom pipelines.main import main\nmain()\n")
    command.chmod(0o755)
    (tmp_path / "ask").write_text(
        f"{argcomplete.shellcode(['partwise'], shell='bash')}\n"
        "COMP_WORDS=(partwise run --ev) COMP_CWORD=2 COMP_LINE='partwise run --ev' COMP_POINT=17 COMP_TYPE=9\n"
        "_python_argcomplete partwise --ev run; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "ask"], cwd=tmp_path, env=path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--every"]


def test_no_parser_waits_for_pytorch() -> None:
    modules = [module for name, (module, _) in COMMANDS.items() if name not in HEAVY]
    code = f"import importlib, inspect, sys\nfor name in {modules}:\n    build = importlib.import_module(name).build_parser\n"
    code += "    build([]) if inspect.signature(build).parameters else build()\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
