"""What a training leaves on disk: config, environment, metrics, curves and pictures."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsing.errors import InputError
from parsing.files import atomic, naming_full_disk
from parsing.json_files import parse_json
from parsing.media.images import write_image
from parsing.types import Array

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_EVENT_BYTES = 1000  # of a point of a curve, about


def run_files(run: Path) -> list[Path]:
    """What a training writes by the same name every time; any of them shows that the folder holds a run."""
    return [
        run / name for name in ("config.json", "environment.json", "metrics.jsonl", "state.pt", "weights.safetensors", "best.safetensors")
    ]


class RunFolder:
    """Where a training leaves its traces: resolved config, environment, metrics, TensorBoard log, resumable state.

    Args:
        resume: keep metrics, state and weights of the epochs before; without it they belong to a run that is now replaced.
        defaults: facts that hold for a run of before, whose state does not name them.

    Raises:
        InputError: another process trains into the folder, or there is none to resume, or its metrics are not whole.
    """

    def __init__(self, path: Path, config: dict[str, Any], resume: bool = False, defaults: Mapping[str, Any] | None = None) -> None:
        self.path, self.config, self.defaults = path, config, defaults or {}
        if resume and not path.is_dir():
            raise InputError(f"{path}: no run folder, so nothing to resume from")
        path.mkdir(parents=True, exist_ok=True)
        if not self.writes:
            return
        self._unlock = weakref.finalize(self, os.close, lock(path))
        if resume:
            self._rows()
        else:
            self.metrics_path.unlink(missing_ok=True)
            self.state_path.unlink(missing_ok=True)
            shutil.rmtree(path / "epochs", ignore_errors=True)

    def begin(self) -> None:
        """Note what the run is, as soon as it is sure that it goes on."""
        if self.writes:
            self._write("config.json", json.dumps(self.config, indent=1, default=str) + "\n")
            self._write("environment.json", json.dumps(environment(), indent=1) + "\n")

    def close(self) -> None:
        """Finish the curves, and leave the folder to others."""
        if "board" in self.__dict__:
            self.board.close()
        if self.writes:
            self._unlock()

    @property
    def state_path(self) -> Path:
        return self.path / "state.pt"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def _write(self, name: str, text: str) -> None:
        with naming_full_disk(self.path / name, len(text)), atomic(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @property
    def writes(self) -> bool:
        """Whether this process leaves traces: of several under torchrun the first alone does."""
        return int(os.environ.get("RANK", "0")) == 0

    @cached_property
    def board(self) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter  # late, as PyTorch below: command lines ask here for names of files

        return SummaryWriter(str(self.path))

    def add_scalars(self, values: dict[str, float | None], epoch: int) -> None:
        """Curves in TensorBoard; None leaves a gap."""
        for name, value in values.items():
            if value is not None and self.writes:
                with naming_full_disk(self.path / "events.out.tfevents", _EVENT_BYTES):
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
        self._write(self.metrics_path.name, "".join(json.dumps(each) + "\n" for each in rows))

    def best(self, path: str) -> float:
        """The highest figure so far at a path such as `all.AP`; -1 before the first."""
        return max((figure_at(row, path) or 0.0 for row in self._rows()), default=-1.0)

    def _rows(self) -> list[dict[str, Any]]:
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_bytes().splitlines()
        return [_row(line, f"{self.metrics_path}: line {number}") for number, line in enumerate(lines, 1)]


def figure_at(metrics: Any, path: str) -> float | None:
    """The figure at a path such as `all.AP` of nested groups; None where there is none."""
    for key in path.split("."):
        metrics = metrics.get(key) if isinstance(metrics, dict) else None
    return None if metrics is None else float(metrics)


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = parse_json(line, where)
    except InputError:
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("epoch"), int):
        raise InputError(f"{where}: not the figures of an epoch; take the line out to go on without them")
    return row


def lock(folder: Path) -> int:
    """Descriptor of a file of the folder that this process holds until it closes it, or ends in whatever way.

    Raises:
        InputError: another process holds it.
    """
    file = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        # Of the process alone, not of those it starts: a training that was killed must not be locked out by its own readers of data.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = os.read(file, 20).decode(errors="replace").strip()
        os.close(file)
        raise InputError(f"{folder}: process {holder} trains into this folder; choose another --out, or wait for its end") from None
    os.truncate(file, 0)
    os.write(file, f"{os.getpid()}\n".encode())
    return file


def environment() -> dict[str, Any]:
    """What a result depends on beside the config: commit, versions, threads."""
    import torch

    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return {
        "git_commit": found.stdout.strip() or None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }
