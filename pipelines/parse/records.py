"""One video into its files, with a record of what it was made from."""

from __future__ import annotations

from pathlib import Path

from pipelines.command import complain_of
from pipelines.parse.config import PipelineConfig
from pipelines.parse.jobs import parse_to_files
from pipelines.parse.manifest import Record, config_sha256, file_sha256, now
from pipelines.parse.parser import VideoParser
from pipelines.parse.sources import Job


class Recorder:
    """Networks that are built once; a call parses one video, whose failure is a record like any other."""

    def __init__(self, settings: PipelineConfig, device: str, debug: bool) -> None:
        self.parser, self.debug = VideoParser(settings, device), debug
        self.config_sha256 = config_sha256(settings, [model.weights_sha256 for model in self.parser.models(())])

    def __call__(self, job: Job) -> Record:
        assert isinstance(job.source, Path)
        source, outputs = str(job.source), tuple(map(str, job.outputs))
        try:
            made = parse_to_files(self.parser, job, quiet=True)
        except Exception as error:
            line = complain_of(job.source, error, self.debug)
            return Record(source, (), "failed", line, file_sha256(job.source), self.config_sha256, finished_at=now())
        hashes = file_sha256(job.source), self.config_sha256
        return Record(source, outputs, "done", None, *hashes, made.num_frames, made.num_tracks, made.action, made.seconds, 1, now())
