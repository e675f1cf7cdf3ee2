"""Composition: run, train, evaluate; tracking, writers and rendering.

>>> from pipelines import VideoParser
>>> parse = VideoParser.from_config("default")("video.mp4")
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.parse.parser import VideoParser

__all__ = ["VideoParser"]

NEEDED = ("numpy", "torch", "av", "cv2", "pydantic", "yaml", "rich")


def _check_environment() -> None:
    """End a command line in one line where the environment that has its packages is not active."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and sys.argv[:1] == ["-m"]:  # so it is while Python looks for the module of `python -m`
        activate = "`make demo` sets up .venv, and `source .venv/bin/activate` makes it the one that runs"
        print(f"error: {sys.executable} has no {', '.join(missing)}: activate the environment; {activate}", file=sys.stderr)
        sys.exit(2)


_check_environment()


def __getattr__(name: str) -> Any:
    # Late, so that command lines print their help without loading networks.
    if name == "VideoParser":
        from parsing.loading import loading

        with loading():
            from pipelines.parse.parser import VideoParser

        return VideoParser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
