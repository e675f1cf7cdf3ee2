"""WebVTT subtitles."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from parsing.configs import config
from parsing.document import AnyParse
from parsing.folders import written_folder
from pipelines.exporters import FolderExporter
from pipelines.exporters.cues import clock, cues_of
from pipelines.exporters.names import file_names


@config
class WebVttExporter(FolderExporter):
    """WebVTT: `VIDEO.vtt` each, with the actions of the video and of its tracks as subtitles."""

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        with written_folder(out, "export webvtt") as folder:
            for parse, name in file_names(parses, ".vtt", stem=True):
                blocks = ["WEBVTT"]
                for cue in cues_of(parse):
                    text = escape(" ".join(cue.text.split()), quote=False)
                    blocks.append(f"{clock(cue.start_s, '.')} --> {clock(cue.end_s, '.')}\n<v {cue.speaker}>{text}</v>")
                (folder / name).write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
