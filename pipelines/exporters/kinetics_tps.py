"""A submission to Kinetics-TPS, in the form of 2021 or 2022."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from parsing.configs import config
from parsing.datasets.kinetics_tps.results import SAMPLE_EVERY
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.types import main_action
from pipelines.benchmarks.kinetics_tps.submission import Form, SubmissionWriter, check_parts
from pipelines.options import Option


@config
class KineticsTpsExporter:
    """A submission to Kinetics-TPS, a zip: persons, ten parts, one state each, every fifth frame."""

    every: ClassVar[int | None] = SAMPLE_EVERY
    reads_parses: ClassVar[bool] = True
    folder: ClassVar[bool] = False

    form: Annotated[Form, Option("lists of boxes and verbs (2021) or one each")] = "2022"
    vote: Annotated[float, Field(ge=0, le=1), Option("share of the video's mean in every state, 0 to 1", "SHARE")] = 0.0

    def inputs(self) -> list[Path]:
        return []

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        if out.suffix != ".zip":
            raise InputError(f"--out {out}: expected a name that ends in .zip")
        with SubmissionWriter(out, self.form, self.vote) as writer:
            for parse in parses:
                check_parts(parse.vocabulary, parse.facts.name)
                action = main_action(parse.actions)
                if action is None:
                    raise InputError(f"{parse.facts.name}: its parse has no action")
                writer.add(Path(parse.facts.name).stem, action.label, parse.frames, parse.vocabulary)
