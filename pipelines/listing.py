"""What there is to choose from, by the tables of names: `partwise list [components|configs|weights|exporters|reports|labels]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from detectors import POSE_ESTIMATORS, TRACKERS
from parsing.configs import nearest
from parsing.console import say
from parsing.errors import InputError
from parsing.label_lists import LABEL_LISTS, label_list
from parsing.networks.shipped import SHIPPED, shipped_path
from pipelines.benchmarks import REPORTS
from pipelines.command import CommandParser, add_message_options, run_command
from pipelines.config_files import shipped_configs
from pipelines.exporters import EXPORTERS
from pipelines.stages import COMPONENTS


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("list", description="Say what there is to choose from.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    add_message_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    unknown = [kind for kind in arguments.kinds if kind not in KINDS]
    if unknown:
        raise InputError(f"list {unknown[0]:.80}: no such kind; {nearest(unknown[0], KINDS)}")
    for kind in arguments.kinds or KINDS:
        say(f"{kind}:", *(f"  {line}" for line in KINDS[kind]()))
    return 0


def components() -> Iterator[str]:
    """A stage of a pipeline a line, with the names that its config may have."""
    for stage, table in {**COMPONENTS, "tracker": TRACKERS, "pose (of part detectors)": POSE_ESTIMATORS}.items():
        yield f"{stage:<24} {', '.join(table)}"


def configs() -> Iterator[str]:
    """Names for `--config`, with the first line of each file."""
    for name, path in shipped_configs().items():
        yield f"{name:<42} {path.read_text(encoding='utf-8').partition(chr(10))[0].removeprefix('# ')}"


def weights() -> Iterator[str]:
    """Names for `weights`, with the size of the file."""
    for name in SHIPPED:
        path = shipped_path(name)
        yield f"{name:<36} {f'{path.stat().st_size / 1e6:.1f} MB' if path.is_file() else 'missing'}"
    yield "zoo/NAME                             public checkpoints, see `partwise zoo list`"


def labels() -> Iterator[str]:
    """Lists of labels, with their length."""
    for name in LABEL_LISTS:
        yield f"{name:<24} {len(label_list(name))} labels"


KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "components": components,
    "configs": configs,
    "weights": weights,
    "exporters": lambda: iter(EXPORTERS),
    "reports": lambda: iter(REPORTS),
    "labels": labels,
}


if __name__ == "__main__":
    run_command(build_parser(), main)
