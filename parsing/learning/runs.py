"""What a training leaves on disk: config, environment, metrics, curves and pictures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from parsing.files import atomic
from parsing.media.images import write_image
from parsing.types import Array


def run_files(run: Path) -> list[Path]:
    """What a training writes by the same name every time; any of them tells that the folder holds a run."""
    return [
        run / name for name in ("config.json", "environment.json", "metrics.jsonl", "state.pt", "weights.safetensors", "best.safetensors")
    ]


class RunFolder:
    """Where a training leaves its traces: resolved config, environment, metrics, TensorBoard log, resumable state.

    Args:
        resume: keep metrics and state of the epochs before; without it they belong to a run that is now replaced.
    """

    def __init__(self, path: Path, config: dict[str, Any], resume: bool = False) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if not self.writes:
            return
        if not resume:
            self.metrics_path.unlink(missing_ok=True)
            self.state_path.unlink(missing_ok=True)
        self.write_json("config.json", config)
        self.write_json("environment.json", environment())

    @property
    def state_path(self) -> Path:
        return self.path / "state.pt"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def write_json(self, name: str, value: Any) -> None:
        with atomic(self.path / name) as temporary:
            temporary.write_text(json.dumps(value, indent=1, default=str) + "\n", encoding="utf-8")

    @property
    def writes(self) -> bool:
        """Whether this process leaves traces: of several under torchrun the first alone does."""
        return int(os.environ.get("RANK", "0")) == 0

    @cached_property
    def board(self) -> SummaryWriter:
        return SummaryWriter(str(self.path))

    def add_scalars(self, values: dict[str, float | None], epoch: int) -> None:
        """Curves in TensorBoard; None leaves a gap."""
        for name, value in values.items():
            if value is not None and self.writes:
                self.board.add_scalar(name, value, epoch)
                self.board.flush()

    def add_image(self, name: str, image: Array, epoch: int) -> None:
        """An (H, W, 3) uint8 picture in TensorBoard, and as `NAME/epoch_N.png`."""
        if not self.writes:
            return
        self.board.add_image(name, image, epoch, dataformats="HWC")
        write_image(self.path / name / f"epoch_{epoch + 1}.png", image)

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add the figures of an epoch to `metrics.jsonl`, in place of what a run that was killed had noted of it."""
        if not self.writes:
            return
        rows = [*(before for before in self._rows() if before["epoch"] < row["epoch"]), row]
        with atomic(self.metrics_path) as temporary:
            temporary.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")

    def best(self, group: str, name: str) -> float:
        """The highest figure so far of `row[group][name]`; -1 before the first."""
        return max((float(row[group][name] or 0.0) for row in self._rows()), default=-1.0)

    def _rows(self) -> list[dict[str, Any]]:
        if not self.metrics_path.exists():
            return []
        return [json.loads(line) for line in self.metrics_path.read_text(encoding="utf-8").splitlines()]


def environment() -> dict[str, Any]:
    """What a result depends on beside the config: commit, versions, threads."""
    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return {
        "git_commit": found.stdout.strip() or None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }
