"""Workers that load no networks, and end when they are told to; a module of its own, as each worker imports it."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from pipelines.parse import workers
from pipelines.parse.manifest import Record
from pipelines.parse.sources import Job
from pipelines.parse.workers import WorkerOptions
from pipelines.parse.workers import _work as genuine_work


def scripted_work(pipe: Connection, options: WorkerOptions, cores: list[int]) -> None:
    """A worker's life with no networks; `device` holds, for each start, what becomes of it, the last for all further ones."""
    folder, script = cast(Path, options.settings), options.device.split()
    place = len(list(folder.glob("start*")))
    while not created(folder / f"start{place}"):
        place += 1
    line = script[min(place, len(script) - 1)]

    def parse(job: Job) -> Record:
        logging.getLogger("test").warning("%s", job.source)
        if "deadly" in str(job.source) and created(folder / "died"):
            os.kill(os.getpid(), signal.SIGKILL)
        return Record(str(job.source), (), "done")

    def built(*_: object) -> Any:
        if line == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if line in ("refused", "broken"):
            pipe.send((line, "no memory"))
        return parse if line == "ready" else None

    workers._built = built
    genuine_work(pipe, options, cores)


def created(path: Path) -> bool:
    """Make a file; whether nobody had."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
