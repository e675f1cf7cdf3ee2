"""Composition: run, train, evaluate; tracking, writers and rendering.

>>> from pipelines import VideoParser
>>> parse = VideoParser.from_config("default")("video.mp4")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.parse.parser import VideoParser

__all__ = ["VideoParser"]


def __getattr__(name: str) -> Any:
    # Late, so that command lines print their help without loading networks.
    if name == "VideoParser":
        from pipelines.parse.parser import VideoParser

        return VideoParser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
