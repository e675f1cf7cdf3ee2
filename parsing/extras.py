"""Optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from parsing.errors import InputError


def import_extra(module: str, extra: str) -> ModuleType:
    """A module of an optional dependency.

    Raises:
        InputError: it is not installed; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f'pip install "partwise[{extra}]"' if extra != "openmmlab" else "make .venv-openmmlab/installed"
        raise InputError(f"{module} cannot be imported ({error}); it comes with the extra {extra}: {hint}") from None
