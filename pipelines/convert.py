"""Turn public checkpoints into weights.

python -m pipelines.convert mmdet CHECKPOINT --to cascade_rcnn_r50 --out FILE
python -m pipelines.convert mmaction2|torchvision|pytorchvideo CHECKPOINT --to slowfast_r50_4x16 --classes kinetics400 --out FILE
python -m pipelines.convert mmagic|basicsr CHECKPOINT --to basicvsr_x4 --out FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path

from parsing.console import say
from parsing.label_lists import LABEL_LISTS
from parsing.networks.converters import conversions, convert_checkpoint
from parsing.networks.weights import DTYPES, save_weights
from pipelines.command import CommandParser, add_output_options, claim, run_command


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("convert", description="Turn a public checkpoint into weights.")
    known: dict[str, set[str]] = {}
    for stage in conversions():
        for origin, targets in stage.targets().items():
            known.setdefault(origin, set()).update(targets)
    parser.add_argument("origin", choices=tuple(known), help="the library that wrote the checkpoint")
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a .pth, .safetensors or model folder; nothing in it is executed"
    )
    listed = "; ".join(f"{origin}: {', '.join(sorted(targets))}" for origin, targets in known.items())
    parser.add_argument("--to", required=True, metavar="NETWORK", help=listed)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors to write")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="NAME|LIST|FILE",
        help=f"class names, a list ({', '.join(LABEL_LISTS)}), or a file of names, where the checkpoint has none",
    )
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="default: float32")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    claim(arguments, [arguments.out], arguments.classes)
    network, header = convert_checkpoint(arguments.checkpoint, arguments.origin, arguments.to, arguments.classes)
    save_weights(network, arguments.out, header, DTYPES[arguments.dtype])
    if not arguments.quiet:
        say(f"wrote {arguments.out}: {header.component}" + "".join(f", {len(found)} classes" for found in header.labels.values()))
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
