"""Optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from parsing.errors import InputError


def import_extra(module: str, extra: str = "") -> ModuleType:
    """A module of an optional dependency, or of one that may be missing where no wheel of it fits.

    Raises:
        InputError: it is not installed; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if not extra:
            raise InputError(f"{module} cannot be imported ({error}): pip install {module}") from None
        hint = f'pip install "partwise[{extra}]"' if extra != "openmmlab" else "make .venv-openmmlab/installed"
        raise InputError(f"{module} cannot be imported ({error}); it comes with the extra {extra}: {hint}") from None
