"""Modules are loaded without the garbage collector, which is as it was before and after."""

import gc
import importlib
import sys

import pytest

from parsing.loading import loading


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
