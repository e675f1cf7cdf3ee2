"""Modules are loaded without the garbage collector, which is as it was before and after."""

import ctypes
import gc
import importlib
import os
import sys
from types import SimpleNamespace

import pytest

from parsing.loading import keep_memory_together, loading


def test_the_collector_rests_while_modules_load(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = gc.get_freeze_count()
    with loading():
        assert not gc.isenabled()
        with loading():
            pass
        assert not gc.isenabled(), "the outer block ended with the inner one"
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen, "nothing was loaded"
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with pytest.raises(ModuleNotFoundError), loading():
        importlib.import_module("parsing.there_is_none")
    assert gc.isenabled()
    with loading():
        importlib.import_module("this")
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen, "what was loaded is looked at again"


def test_a_program_that_does_without_it_goes_on_so() -> None:
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(("environment", "calls"), [({}, [(-8, os.cpu_count())]), ({"MALLOC_ARENA_MAX": "3"}, [])])
def test_memory_is_kept_together_unless_the_environment_says_otherwise(
    environment: dict[str, str], calls: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *values: found.append(values)))
    keep_memory_together()
    assert found == calls
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())  # another C library
    keep_memory_together()
