"""Tables of parts, tracks, state intervals, actions and videos."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from parsing.configs import config
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.folders import written_folder
from parsing.intervals import HOLDS_FROM
from parsing.tables import TABLES, table_batches, table_schema
from pipelines.exporters import FolderExporter
from pipelines.options import Option

if TYPE_CHECKING:
    import pyarrow as pa

FileKind = Literal["csv", "parquet", "arrow"]


@config
class TableExporter(FolderExporter):
    """Tables for pandas, polars and DuckDB: `parts`, `tracks`, `state_intervals`, `actions`, `videos`, all videos in each.

    Frames are read and written one group after another, so memory does not grow with the length of a video.
    """

    format: Annotated[FileKind, Option("of the files")] = "parquet"
    threshold: Annotated[float, Option("score from which a state holds, in state_intervals", "SCORE")] = HOLDS_FROM

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        with written_folder(out, "export table") as folder, ExitStack() as stack:
            writers: dict[str, Any] = {}
            columns: dict[str, pa.Schema] = {}
            for parse in parses:
                for name in TABLES:
                    schema = table_schema(name, parse.vocabulary)
                    if schema != columns.setdefault(name, schema):
                        raise InputError(f"{parse.facts.name}: other states than in the parses before it; export it by itself")
                    if name not in writers:
                        writers[name] = stack.enter_context(_writer(folder / f"{name}.{self.format}", schema, self.format))
                for name, batch in table_batches(parse, self.threshold):
                    if len(batch):
                        writers[name].write_batch(batch)


def _writer(path: Path, schema: pa.Schema, kind: FileKind) -> Any:
    import pyarrow as pa  # late, as in parsing/tables.py
    from pyarrow import csv, parquet

    if kind == "csv":
        return csv.CSVWriter(path, schema)
    return parquet.ParquetWriter(path, schema) if kind == "parquet" else pa.ipc.new_file(str(path), schema)
