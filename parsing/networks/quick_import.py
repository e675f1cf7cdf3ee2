"""torchvision and timm without PyTorch's compiler, whose import takes as long as that of PyTorch itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

COMPILER, UTILITIES = "torch._dynamo", "torch._dynamo.utils"


def import_networks() -> None:
    """Import both. While they load they ask the compiler for two functions, which nothing calls unless it compiles.

    What else they ask for, they get from the compiler itself. Once they are loaded, whoever imports it gets it.
    """
    if COMPILER in sys.modules:
        return
    import torch  # noqa: F401  # which loads no compiler, and is there before them

    stand_ins = {name: _StandIn(name) for name in (COMPILER, UTILITIES)}
    sys.modules.update(stand_ins)
    try:
        import timm  # noqa: F401
        import torchvision  # noqa: F401
    finally:
        _forget(stand_ins)


class _StandIn(ModuleType):
    """In the place of a module that is not loaded until something else is asked of it than `disable` and `is_compile_supported`."""

    @staticmethod
    def disable(function: Callable[..., Any] | None = None, *options: Any, **more: Any) -> Any:
        """A decorator for what is not to be compiled: there is nothing that compiles."""
        del options, more
        return function if function is not None else lambda decorated: decorated

    @staticmethod
    def is_compile_supported(device: str) -> bool:
        return bool(importlib.import_module(UTILITIES).is_compile_supported(device))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _forget({key: module for key, module in sys.modules.items() if isinstance(module, _StandIn)})
        return getattr(importlib.import_module(self.__name__), name)


def _forget(stand_ins: dict[str, Any]) -> None:
    for name, stand_in in stand_ins.items():
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
