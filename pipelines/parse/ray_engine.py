"""Videos parsed by Ray Data, on this machine or a cluster: each actor loads its networks once, and one lost loses no finished video."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import posixpath
import re
import socket
import tempfile
import warnings
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsing.console import complain, say
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.files import claim_outputs
from parsing.progress import Counter
from pipelines.command import claim, log_to_stderr, torch_device
from pipelines.config_files import config_path
from pipelines.parse.config import PipelineConfig, read_pipeline
from pipelines.parse.listing import names_of, sources_of
from pipelines.parse.manifest import Manifest, Record, now
from pipelines.parse.sources import DOCUMENT_SUFFIXES, STDOUT, Job
from pipelines.parse.stores import URL, WEB, file_system, is_local, make_folder, put, reached, shown

PARQUET = ".parquet"
TRIES = 2  # of a video whose actor was lost, at least
CORES_OF_ACTOR = 2
ANSWER_S = 10.0  # that the machine of a cluster has to answer


@dataclass(frozen=True)
class RayTask:
    """One video, wherever it stands, and where its parse goes; an empty `output` puts it into the row."""

    number: int
    source: str
    output: str


class RayParser:
    """What runs in an actor: networks that are built once, and a call for each row."""

    def __init__(self, settings: PipelineConfig, device: str, num_cores: int) -> None:
        import torch

        from pipelines.parse.records import Recorder

        torch.set_num_threads(num_cores)
        log_to_stderr(logging.WARNING)
        self.recorder = Recorder(settings, device, debug=False)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task = RayTask(int(row["number"]), str(row["source"]), str(row["output"]))
        with tempfile.TemporaryDirectory() as folder:
            try:
                record, document = self._parsed(task, Path(folder))
            except InputError as error:
                record, document = Record(shown(task.source), (), "failed", str(error), finished_at=now()), ""
        return {"number": task.number, "record": json.dumps(dataclasses.asdict(record)), "document": document}

    def _parsed(self, task: RayTask, folder: Path) -> tuple[Record, str]:
        system, path = file_system(task.source)
        local, made = Path(path), folder / "parse.json"
        if not is_local(system):
            local = folder / posixpath.basename(shown(task.source))
            with reached(task.source, "cannot be read"):
                system.get_file(path, str(local))
        record = self.recorder(Job(local, made, None))
        document = ""
        if record.outcome == "done" and task.output:
            put(made, task.output)
        elif record.outcome == "done":
            document = made.read_text(encoding="utf-8")
        outputs = (task.output,) if record.outcome == "done" and task.output else ()
        error = record.error and record.error.replace(str(local), shown(task.source))  # of a copy, what it is one of
        return dataclasses.replace(record, source=shown(task.source), outputs=outputs, error=error), document


def run_with_ray(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Parse what the command line names; the exit code.

    Raises:
        InputError: a source or an output does not fit, Ray is not installed, or its cluster cannot be reached.
    """
    out = checked_out(arguments)
    settings = read_pipeline(arguments.config, overrides)
    sources = sources_of(arguments.sources)
    local = [Path(source) for source in sources if not URL.match(source)]
    claim(arguments, [], settings, inputs=[config_path(arguments.config), *local])
    manifest = Manifest(Path() if URL.match(out) else Path(out).parent if out.endswith(PARQUET) else Path(out))
    tasks = [RayTask(i, source, target) for i, (source, target) in enumerate(zip(sources, targets_of(sources, out), strict=True))]
    there = existing(out, tasks)
    done = [task for task in tasks if task in there]
    if done and not (arguments.skip_existing or arguments.overwrite):
        raise InputError(f"{shown(done[0].output or out)}: holds a parse of {shown(done[0].source)}; give --skip-existing or --overwrite")
    left = [task for task in tasks if arguments.overwrite or task not in there]
    claim_outputs([Path(task.output) for task in left if task.output and not URL.match(task.output)], local, overwrite=True)
    records = [] if not left else list(counted(parse_rows(left, settings, arguments, out), len(left), manifest, arguments.quiet))
    failed = [record for record in records if record.outcome == "failed"]
    if not arguments.quiet:
        frames, seconds = sum(record.frames for record in records), sum(record.seconds for record in records)
        pace = f"; {frames} frames, {frames / seconds:.1f} a second and actor" if seconds else ""
        say(f"{len(records) - len(failed)} parsed, {len(failed)} failed, {len(tasks) - len(left)} were there{pace}; {manifest.path}")
    return 1 if failed else 0


def checked_out(arguments: argparse.Namespace) -> str:
    """Raises InputError: the outputs go neither to a folder nor to Parquet."""
    out: Path | None = arguments.out
    if out is None or out == STDOUT or out.suffix in DOCUMENT_SUFFIXES or arguments.save_video:
        raise InputError(f"--engine ray --out {out}: expected a folder, or NAME.parquet; annotated copies are not made there")
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(out))  # a Path takes one of the slashes
    file_system(text)
    if (scheme := URL.match(text)) and scheme[1] in WEB:
        raise InputError(f"--out {shown(text)}: nothing can be written there; expected a folder, or a URL of an object store")
    return text


def targets_of(sources: Sequence[str], out: str) -> list[str]:
    """Where the parse of each source goes; empty for Parquet."""
    if out.endswith(PARQUET):
        return [""] * len(sources)
    folder = out if URL.match(out) else os.path.abspath(out)  # noqa: PTH100  # actors run in folders of their own
    targets = [f"{folder.rstrip('/')}/{name}.json" for name in names_of(sources)]
    twice = next((target for target, count in Tally(targets).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: is where the parses of several sources would go; expected sources of different names")
    return targets


def existing(out: str, tasks: Sequence[RayTask]) -> set[RayTask]:
    """Those whose parse is there already."""
    system, path = file_system(out)
    with reached(out, "cannot be looked into"):
        found = system.find(path) if system.exists(path) else []
    if not out.endswith(PARQUET):
        return {task for task in tasks if file_system(task.output)[1] in found}
    return {task for task in tasks if f"{path.rstrip('/')}/{row_name(task)}" in found}


def parse_rows(tasks: Sequence[RayTask], settings: PipelineConfig, arguments: argparse.Namespace, out: str) -> Iterator[Record]:
    """Records as videos are done. Those whose actors were lost come again after the others, for as long as any of them succeeds.

    A machine that goes takes more with it than the video in its actor: what is sent there before Ray knows of it fails at once.

    Raises:
        InputError: no cluster can be reached, or the networks cannot be built.
    """
    ray = started_ray(arguments.ray_address)
    missing, tries, advances = {task.number: task for task in tasks}, 0, True
    try:
        while missing and (advances or tries < TRIES):
            tries, advances = tries + 1, False
            for row in _rows(ray, list(missing.values()), settings, arguments):
                record = _record(row["record"], tries)
                task = missing.pop(int(row["number"]))
                if out.endswith(PARQUET) and record.outcome == "done":
                    append_row(out, task, record, row["document"])
                advances = True
                yield record
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise InputError(f"--engine ray: the networks cannot be built or run ({' '.join(str(cause).split())[-300:]})") from None
    finally:
        ray.shutdown()
    for task in missing.values():
        line = f"{shown(task.source)}: its actor was lost {tries} times"
        yield Record(shown(task.source), (), "failed", line, tries=tries, finished_at=now())


def _rows(ray: Any, tasks: Sequence[RayTask], settings: PipelineConfig, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What actors say of videos, without those whose actors were lost."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    num_cores, num_actors = actors_of(cores, arguments.workers)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a block is one video, whose failure is told and ends nothing
    # An actor has no second video waiting, which would be lost with it; Ray's own tries come before its actor is back.
    actors = ray.data.ActorPoolStrategy(size=min(num_actors, len(tasks)), max_tasks_in_flight_per_actor=1)
    rows = ray.data.from_items([dataclasses.asdict(task) for task in tasks], override_num_blocks=len(tasks)).map(
        RayParser,
        fn_constructor_args=(settings, torch_device(arguments.device), num_cores),
        compute=actors,
        num_cpus=num_cores,
        num_gpus=1 if torch_device(arguments.device) == "cuda" else 0,
        max_restarts=-1,
        max_task_retries=0,
    )
    yield from rows.iter_rows()


def counted(records: Iterator[Record], total: int, manifest: Manifest, quiet: bool) -> Iterator[Record]:
    """The same records, each told and noted as it comes."""
    with Counter("videos", total, quiet, unit="videos") as progress:
        for record in records:
            manifest.add(record)
            if record.error:
                complain(f"error: {record.error}")
            progress.advance()
            yield record


def started_ray(address: str | None) -> Any:
    """Ray, connected to a cluster, or with one of its own on this machine.

    Raises:
        InputError: it is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = import_extra("ray", "ray")
    import_extra("ray.data", "ray")
    _keep_to_log_files()
    try:
        if address is not None and ":" in address:
            _knock(address)
        own = address is None and "RAY_ADDRESS" not in os.environ  # else a cluster that happens to run here would be taken
        where = {"address": "local", "include_dashboard": False} if own else {"address": address}
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of a node that does not start, Ray raises no class of its own
        raise InputError(
            f"--ray-address {address or 'of this machine'}: no cluster can be reached ({' '.join(str(error).split())[:200]})"
        ) from None
    return ray


def _keep_to_log_files() -> None:
    """Ray Data's notes and the tracebacks of lost actors, of which we tell in one line each, go to Ray's log files alone."""
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")  # the extra holds Ray below 2.64, which drops them


def _knock(address: str) -> None:
    """Ask whether anybody answers: Ray itself waits for minutes before it gives up.

    Raises:
        OSError, ValueError: nobody does, or it is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()


def actors_of(nodes: Sequence[int], num_workers: int | None) -> tuple[int, int]:
    """Cores of an actor, and how many actors there are: two cores each, unless `--workers` says how many.

    Args:
        nodes: the cores of each machine; an actor has all of its cores on one.
    """
    num_actors = num_workers or max(1, sum(cores // CORES_OF_ACTOR for cores in nodes))
    fitting = (each for each in range(max(nodes, default=1), 1, -1) if sum(cores // each for cores in nodes) >= num_actors)
    return next(fitting, 1), num_actors


def append_row(out: str, task: RayTask, record: Record, document: str) -> None:
    """One more file in a folder of Parquet: what became of a video, and its parse as text, which `json` reads."""
    pa, parquet = import_extra("pyarrow", "ray"), import_extra("pyarrow.parquet", "ray")
    system, folder = file_system(out)
    columns = dataclasses.asdict(record) | {"document": document}
    table = pa.table({name: [value] for name, value in columns.items() if name not in ("outputs", "error")})
    name = row_name(task)
    part = f"{folder.rstrip('/')}/.{name}.part"  # readers of a folder pass over what begins with a dot
    with reached(out, "cannot be written to"):
        make_folder(system, folder)
        parquet.write_table(table, part, filesystem=system)
        system.mv(part, f"{folder.rstrip('/')}/{name}")


def row_name(task: RayTask) -> str:
    """The file of a source's row, the same in every run, so that a row is replaced by its own successor alone."""
    return f"{hashlib.sha256(shown(task.source).encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.parquet"


def _record(text: str, tries: int) -> Record:
    values = json.loads(text)
    return Record(**values | {"outputs": tuple(values["outputs"]), "tries": tries})
