"""What takes annotated pictures: copies in files, a window, a page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import cv2

from parsing.errors import InputError
from parsing.files import atomic
from parsing.media.encoding import VideoWriter
from parsing.media.images import encoded_image
from parsing.types import Array, Frame, FrameParse
from pipelines.parse.parser import ParseStream

ESCAPE = 27
TITLE = "partwise"


class PictureWriter(Protocol):
    """Takes each frame with its annotated picture, (H, W, 3) uint8 RGB."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *failure: object) -> None: ...

    def add(self, picture: Array, frame: Frame, parse: FrameParse) -> None: ...


class VideoCopy:
    """An annotated mp4; of a live source, in fragments that stay when it ends in a failure."""

    def __init__(self, path: Path, image_hw: tuple[int, int], fps: float, is_live: bool) -> None:
        self.video = VideoWriter(path, image_hw, fps, keeps=is_live)

    def __enter__(self) -> VideoCopy:
        self.video.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.video.__exit__(*failure)

    def add(self, picture: Array, frame: Frame, parse: FrameParse) -> None:  # noqa: ARG002
        self.video.add(picture, frame.time_s)


class ImageCopy:
    """An annotated image, which appears when the block ends well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()

    def __enter__(self) -> ImageCopy:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.__exit__(*failure)  # type: ignore[arg-type]

    def add(self, picture: Array, frame: Frame, parse: FrameParse) -> None:  # noqa: ARG002
        temporary = self._stack.enter_context(atomic(self.path))
        temporary.write_bytes(encoded_image(self.path, picture))


class Window:
    """A window on the screen; `q`, Escape or closing it ends a live source, and only the window of a file.

    Raises:
        InputError: there is no screen, or OpenCV was built without windows.
    """

    def __init__(self, stop: Callable[[], None] | None) -> None:
        self.stop, self.is_open = stop, True

    def __enter__(self) -> Window:
        check_screen()
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        return self

    def __exit__(self, *failure: object) -> None:
        cv2.destroyAllWindows()

    def add(self, picture: Array, frame: Frame, parse: FrameParse) -> None:  # noqa: ARG002
        if not self.is_open:
            return
        cv2.imshow(TITLE, picture[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        if key in (ord("q"), ESCAPE) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self.is_open = False
            cv2.destroyAllWindows()
            if self.stop is not None:
                self.stop()


@dataclass(frozen=True)
class Viewing:
    """Where the annotated pictures are seen while they are made.

    Args:
        show: in a window.
        port: of a page, 0 for any that is free; None for no page.
        host: that the page is served on.
    """

    show: bool = False
    port: int | None = None
    host: str = "127.0.0.1"

    def open(self, stream: ParseStream, stop: Callable[[], None] | None) -> Iterator[PictureWriter]:
        if self.show:
            yield Window(stop)
        if self.port is not None:
            from pipelines.parse.serve import Page  # late: it is an extra

            yield Page(self.host, self.port, stream)


def check_screen() -> None:
    """Open a window in a process of its own: where that fails, the toolkit ends the process, and no error can be caught.

    Raises:
        InputError: no window can be opened.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InputError("--show: there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set); --serve shows it in a browser")
    trial = f"import cv2; cv2.namedWindow('{TITLE}'); cv2.destroyAllWindows()"
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, check=False)
    if done.returncode:
        raise InputError(
            "--show: no window can be opened on this screen, or OpenCV was built without windows; --serve shows it in a browser"
        )
