"""Public checkpoints by name: what there is, and what is in the cache.

python -m pipelines.zoo list --stage recognizer
python -m pipelines.zoo fetch cascade_rcnn_r50_fpn_1x_coco
python -m pipelines.zoo verify
python -m pipelines.zoo where
python -m pipelines.zoo table --out docs/zoo.md
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from parsing.console import complain, say
from parsing.files import atomic
from parsing.networks.zoo import Entry, digests, entries, fetch, find, home, page_of, record_of
from pipelines.command import CommandParser, add_message_options, add_output_options, claim, run_command

STAGES = sorted({entry.stage for entry in entries().values()})
CHECKED = {
    "outputs": "outputs equal the library's own, on seeded weights in its layout",
    "graphs": "`name: onnx` runs graphs with such outputs; yolox with `layout: yolox`",
    "layout": "names and shapes are those of the library's own model; outputs were compared at other sizes of the network",
    "folder": "`name: transformers` runs tiny folders of the same class that the library saved",
}
HEAD = (
    "# The zoo\n\n"
    "Public checkpoints by name: `weights: zoo/NAME` in any config. Written by `python -m pipelines.zoo table --out docs/zoo.md`.\n\n"
    "On first use a file is downloaded to the cache (`PARTWISE_HOME`, else the user's cache folder; `python -m pipelines.zoo "
    "where`), checked against the digits of its sha256 where its authors put these into its name, turned into safetensors, and removed; "
    "graphs (`.onnx`) are unpacked from their archive and stay as they are. A transfer that was cut goes on where it stopped; of several "
    "processes one downloads. With `--offline` or `PARTWISE_OFFLINE=1` nothing is downloaded: put the file where the message says. "
    "Proxies of the environment are used. Beside it the project opens a connection for timm's weights where a training asks for them "
    "(`pretrained: imagenet`), for model ids of Hugging Face with `allow_network: true`, and to addresses that you type: live sources, "
    "`--ray-address`, outputs and sources of object stores.\n\n"
    "**No entry was run with its real file yet**: none could be downloaded where this was written. How loading was checked stands "
    "beside each: with checkpoints of the same layout, made by the library that wrote the real one. Figures are their authors', "
    "not measured here; a cell is empty where they could not be read. Sizes are of the tensors where the authors say none. "
    "`python -m pipelines.zoo fetch NAME` is what tries a real one.\n\n"
    "**Model folders of Hugging Face** (`name: transformers`, the extra `transformers`) come file by file: `config.json`, the "
    "processor's, and the weights as safetensors, whole or in shards, or as PyTorch's file, which is read without executing "
    "anything and rewritten. Their hashes are not known here: what is fetched is held against the sha256 that the server says, and "
    "recorded, so `verify` finds what changes in the cache. A revision `main` may change at its authors'. Models that ask for a "
    "sign-in are refused with what to do by hand.\n\n"
    "**Not in the table**: X3D, of which no kept library has the layers; and mmaction2's VideoMAE, whose authors' own model folder "
    "serves (`zoo/videomae_base_finetuned_kinetics`, for which `transformers` has the network).\n\n"
    "**What the pipelines cost**: `python benchmarks/public.py` times the person detector and the recognizers of `public` and "
    "`public_fast`, with random weights, on PyTorch and OpenVINO turn by turn, and prints a table with the load of the machine. "
    "On two quiet cores (`--repeats 1`): a key frame of `public` 3.0 s in its person detector on PyTorch and 2.2 s on OpenVINO, a window "
    "13.6 and 5.0 s in its recognizer, of `public_fast` 0.9 and 0.7 s.\n"
)


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("zoo", description="Public checkpoints by name: `weights: zoo/NAME`.")
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="what there is")
    listed.add_argument("--stage", choices=STAGES, help="of one stage alone")
    fetched = commands.add_parser("fetch", help="download and convert")
    fetched.add_argument("names", nargs="+", metavar="NAME")
    verified = commands.add_parser("verify", help="check what is in the cache against its recorded hashes")
    where = commands.add_parser("where", help="the cache, and what is in it")
    table = commands.add_parser("table", help="the table as Markdown")
    table.add_argument("--out", type=Path, required=True, metavar="FILE")
    for command in (listed, fetched, verified, where):
        add_message_options(command)
    add_output_options(table)
    return parser


def main(arguments: argparse.Namespace) -> int:
    if arguments.command == "fetch":
        for entry in [find(name) for name in arguments.names]:  # a wrong name is told before anything is downloaded
            say(fetch(entry.name))
    elif arguments.command == "verify":
        return _verify(_cached())
    elif arguments.command == "where":
        say(home(), *(entry.weights for entry in _cached()))
    elif arguments.command == "list":
        shown = [entry for entry in entries().values() if arguments.stage in (None, entry.stage)]
        say(*(_line(entry) for entry in shown))
    else:
        claim(arguments, [arguments.out])
        with atomic(arguments.out) as temporary:
            temporary.write_text(table(entries().values()), encoding="utf-8")
    return 0


def _cached() -> list[Entry]:
    return [entry for entry in entries().values() if entry.is_here]


def _line(entry: Entry) -> str:
    here = "here" if entry.is_here else ""
    return f"{entry.name}  {entry.stage}  {entry.network}  {_size(entry)}  {entry.licence}  {entry.figure}  {here}".rstrip()


def _size(entry: Entry) -> str:
    return f"{entry.megabytes} MB" if entry.megabytes else "size unknown"


def _verify(cached: Sequence[Entry]) -> int:
    """1 where a file is not what its record says."""
    wrong = 0
    for entry in cached:
        record = record_of(entry)
        whole = record.is_file() and record.read_text(encoding="utf-8") == digests(entry)
        wrong += not whole
        (say if whole else complain)(f"{entry.name}: {'whole' if whole else f'not what its record says; remove {entry.weights}'}")
    return int(wrong > 0)


def table(shown: Collection[Entry]) -> str:
    """All entries as Markdown, a table a stage."""
    parts = [HEAD]
    for stage in STAGES:
        rows = [_row(entry) for entry in shown if entry.stage == stage]
        head = "| `zoo/…` | `name` in a config | trained on | figure | size | licence | sha256 begins | loading |"
        parts.append("\n".join([f"## {stage.replace('_', ' ').capitalize()}", "", head, "|---" * 8 + "|", *rows]) + "\n")
    return "\n".join(parts)


def _row(entry: Entry) -> str:
    folder = re.fullmatch(r"https://[^/]+/(.+)/resolve/(.+)/config\.json", entry.url)
    cells = (
        f"[{entry.name}]({page_of(entry.url)})",
        f"{entry.network}: {folder[1]}, revision {folder[2]:.8}" if folder else entry.network,
        entry.trained_on,
        entry.figure,
        _size(entry),
        entry.licence,
        entry.sha256,
        CHECKED[entry.checked],
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run_command(build_parser(), main)
