"""The command `partwise`: `partwise run …` is `python -m pipelines.run …`, and so on for every command.

Only the module of the chosen command is imported.
"""

from __future__ import annotations

import os
import runpy
import sys

COMMANDS = {
    "run": ("pipelines.run", "parse videos and images"),
    "show": ("pipelines.show", "say what a parse holds"),
    "report": ("pipelines.report", "a page that shows a parse beside its video"),
    "export": ("pipelines.export", "tables, data sets, annotation tasks, subtitles and submissions"),
    "select": ("pipelines.select", "pick the frames that are worth a person's time"),
    "inspect": ("pipelines.inspect_data", "what a data set holds, and what is wrong with it"),
    "train": ("pipelines.train", "train one stage on your data"),
    "evaluate": ("pipelines.evaluate", "figures of a stage, of saved results, or of a submission"),
    "calibrate": ("pipelines.calibrate", "make a detector's scores probabilities"),
    "precision": ("pipelines.precision", "let weights run in bfloat16 where they lose nothing by it"),
    "ablate": ("pipelines.ablate", "train variants of a stage and tabulate them"),
    "distil": ("pipelines.distil", "train a teacher, and a student with its scores"),
    "pseudo-label": ("pipelines.pseudo_label", "complete part boxes with those of a teacher"),
    "diagnose": ("pipelines.diagnose", "which stage limits the Kinetics-TPS score"),
    "convert": ("pipelines.convert", "turn a public checkpoint into weights"),
    "export-model": ("pipelines.export_model", "a stage's network for other programs"),
    "zoo": ("pipelines.zoo", "public checkpoints by name"),
    "list": ("pipelines.listing", "components, configs, weights, exporters, reports, label lists"),
    "doctor": ("pipelines.doctor", "what this installation has and lacks"),
}
OPTIONS = (("-h, --help", "this list; `partwise COMMAND --help` says more of one"), ("--version", "the version"))


def main() -> None:
    """Run the command that the first word of the command line names."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next
        from pipelines.completion import complete

        complete()
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"partwise {version()}")
    elif name not in COMMANDS:
        print(f"error: partwise {name!r:.80}: no such command; {_hint(name)}", file=sys.stderr)
        sys.exit(2)
    else:
        sys.argv = [f"partwise {name}", *words]
        runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)


def usage() -> str:
    """What `partwise --help` says."""
    rows = [("commands:", [(name, text) for name, (_, text) in COMMANDS.items()]), ("options:", OPTIONS)]
    tables = ["\n".join([head, *(f"  {name:<13} {text}" for name, text in lines)]) for head, lines in rows]
    return "\n\n".join(["usage: partwise COMMAND …", "Part-level action parsing of video.", *tables])


def version() -> str:
    """Of the installed package."""
    from importlib import metadata  # late: it takes longer than all else here

    try:
        return metadata.version("partwise")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _hint(name: str) -> str:
    from parsing.configs import nearest  # late, as pydantic comes with it

    return nearest(name, COMMANDS)


if __name__ == "__main__":
    main()
