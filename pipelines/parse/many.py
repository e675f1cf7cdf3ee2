"""Videos parsed by workers of this machine, from the command line's arguments to outcomes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from parsing.console import complain
from parsing.errors import InputError
from pipelines.command import torch_device
from pipelines.parse.config import PipelineConfig
from pipelines.parse.manifest import Manifest, Record
from pipelines.parse.sources import DOCUMENT_SUFFIXES, STDOUT, Job
from pipelines.parse.summary import Outcome
from pipelines.parse.workers import WorkerOptions, run_in_workers


def parse_by_workers(arguments: argparse.Namespace, settings: PipelineConfig, done: Sequence[Job], left: Sequence[Job]) -> list[Outcome]:
    """Parse what is left by `--workers` processes, and note everything in the manifest of the folder.

    Raises:
        InputError: the outputs go to no folder, or the networks cannot be built.
    """
    if arguments.out is None or arguments.out == STDOUT or arguments.out.suffix in DOCUMENT_SUFFIXES:
        raise InputError(f"--out {arguments.out}: expected a folder, where --workers puts the parses and their manifest")
    manifest = Manifest(arguments.out)
    for job in done:
        manifest.add(Record.skipped(job))
    if not left:
        return []
    options = WorkerOptions(settings, torch_device(arguments.device), arguments.debug)
    records = run_in_workers(left, options, arguments.workers, manifest, arguments.quiet)
    note_other_configs(manifest, [str(job.source) for job in done], records)
    return [
        Outcome(job, record.frames, record.tracks, record.action, record.seconds, record.error)
        for job, record in zip(left, records, strict=True)
    ]


def note_other_configs(manifest: Manifest, skipped: list[str], records: Sequence[Record]) -> None:
    """Say how many of the outputs that were there before were made with another config."""
    hashes = {record.config_sha256 for record in records if record.config_sha256}
    for config_sha256 in hashes:
        if others := manifest.made_otherwise(skipped, config_sha256):
            complain(
                f"{manifest.path}: {len(others)} outputs that were there were made with another config or other weights, as {others[0]}"
            )
