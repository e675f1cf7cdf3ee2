"""ActivityNet's results of temporal localization."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from parsing.configs import config
from parsing.document import AnyParse
from parsing.files import atomic
from pipelines.exporters.names import file_names


@config
class ActivityNetExporter:
    """ActivityNet results: the actions of each video as segments with scores; actions of single tracks carry their `track_id`."""

    every: ClassVar[int | None] = None
    reads_parses: ClassVar[bool] = True
    folder: ClassVar[bool] = False

    def inputs(self) -> list[Path]:
        return []

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        results = {}
        for parse, name in file_names(parses, "", stem=True):
            segments: list[dict[str, object]] = []
            for track_id, actions in [(None, parse.actions), *sorted(parse.track_actions.items())]:
                own = {} if track_id is None else {"track_id": track_id}
                segments += [{"label": a.label, "score": a.score, "segment": [a.start_s, a.end_s]} | own for a in actions]
            results[name] = segments
        document = {"version": "VERSION 1.3", "results": results, "external_data": {"used": False, "details": ""}}
        with atomic(out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
