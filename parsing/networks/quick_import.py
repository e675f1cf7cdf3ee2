"""Libraries of networks without what they import for a function or two and what takes longest to load."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

COMPILER, UTILITIES = "torch._dynamo", "torch._dynamo.utils"
SCIPY = ("scipy.interpolate", "scipy.optimize", "scipy.spatial")


def import_networks() -> None:
    """Import torchvision and timm without PyTorch's compiler, and the trackers without SciPy.

    While torchvision and timm load they ask the compiler, whose import takes as long as that of PyTorch itself, for two functions,
    which nothing calls unless it compiles. What else they ask for, they get from the compiler itself. Once all are loaded, whoever
    imports the compiler or SciPy gets them.
    """
    import torch  # noqa: F401  # which loads no compiler, and is there before them

    if COMPILER not in sys.modules:
        with _in_their_place({name: _StandIn(name) for name in (COMPILER, UTILITIES)}):
            import timm  # noqa: F401
            import torchvision  # noqa: F401
    with _in_their_place({name: _Later(name) for name in SCIPY if name not in sys.modules}):
        import supervision  # noqa: F401
        import trackers  # noqa: F401


@contextmanager
def _in_their_place(stand_ins: dict[str, ModuleType]) -> Iterator[None]:
    """Whoever imports these modules in this block gets the stand-ins."""
    sys.modules.update(stand_ins)
    try:
        yield
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


class _Later(ModuleType):
    """In the place of a module of SciPy that is loaded when one of its functions is called.

    The assignment that trackers solve for each frame is taken from its own file, where SciPy has it.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "linear_sum_assignment" and (own := _file_of_scipy("scipy.optimize._lsap")) is not None:
            return own.linear_sum_assignment

        def later(*arguments: Any, **named: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), name)(*arguments, **named)

        return later


def _file_of_scipy(name: str) -> ModuleType | None:
    """A module of SciPy without the package around it; None where it is not there."""
    root = importlib.util.find_spec("scipy")
    folders = [str(Path(folder, name.split(".")[1])) for folder in (root.submodule_search_locations or ())] if root else []
    spec = PathFinder.find_spec(name, folders)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _forget(stand_ins: dict[str, Any]) -> None:
    for name, stand_in in stand_ins.items():
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
