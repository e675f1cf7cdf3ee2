"""SubRip subtitles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from parsing.configs import config
from parsing.document import AnyParse
from parsing.folders import written_folder
from pipelines.exporters import FolderExporter
from pipelines.exporters.cues import clock, cues_of
from pipelines.exporters.names import file_names


@config
class SrtExporter(FolderExporter):
    """SubRip: `VIDEO.srt` each, with the actions of the video and of its tracks as subtitles."""

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        with written_folder(out, "export srt") as folder:
            for parse, name in file_names(parses, ".srt", stem=True):
                blocks = [
                    f"{number}\n{clock(cue.start_s, ',')} --> {clock(cue.end_s, ',')}\n{cue.speaker}: {' '.join(cue.text.split())}\n"
                    for number, cue in enumerate(cues_of(parse), 1)
                ]
                (folder / name).write_text("\n".join(blocks), encoding="utf-8")
