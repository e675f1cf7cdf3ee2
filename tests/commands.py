"""Command lines within this process, which need not load the libraries again, but end as those of a process do."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.command import run_command

SCRIPTS = Path(__file__).parents[1] / "scripts"
HEARD = signal.SIGTERM, signal.SIGHUP


def command_line(module: Any, words: Sequence[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `python -m MODULE WORDS`; what it prints is for capsys."""
    handlers = {number: signal.getsignal(number) for number in HEARD}
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    try:
        with pytest.raises(SystemExit) as left:
            run_command(module.build_parser(), module.main)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return left.value.code if isinstance(left.value.code, int) else int(left.value.code is not None)


def script(name: str) -> ModuleType:
    """`scripts/NAME.py`, which finds the scripts beside it."""
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(name)
