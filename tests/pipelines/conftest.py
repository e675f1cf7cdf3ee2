"""What several tests of commands share."""

from pathlib import Path

import pytest
from builders import ramp, write_video


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        write_video(folder / f"{name}.mp4", [ramp(i) for i in range(6)])
    return folder
