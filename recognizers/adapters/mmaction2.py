"""mmaction2 1.2.0 beside a current mmcv."""

from __future__ import annotations

import sys
from types import ModuleType


def stand_in_for_what_the_wheel_lacks() -> None:
    """Make mmaction2 importable: its wheel leaves out `localizers.drn`, and it refuses every mmcv from 2.2 on.

    Call it before the first import of `mmaction`. No network of this project's uses either.
    """
    import mmcv

    mmcv.__version__ = "2.1.0"
    package, module = ModuleType("mmaction.models.localizers.drn"), ModuleType("mmaction.models.localizers.drn.drn")
    module.DRN = type("DRN", (), {})  # type: ignore[attr-defined]
    package.drn = module  # type: ignore[attr-defined]
    sys.modules.setdefault(package.__name__, package)
    sys.modules.setdefault(module.__name__, module)
