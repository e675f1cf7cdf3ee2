"""Train one stage: `python -m pipelines.train STAGE --config FILE --out RUN [--set a.b=c ...] [--resume]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from parsing.configs import override, read_yaml
from pipelines.command import run_command, torch_device
from pipelines.trainings import STAGES, training_config


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description="Train one stage on your data.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="a training config, see configs/")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="RUN", help="run folder: weights.safetensors, metrics.jsonl, TensorBoard log"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting, e.g. fit.epochs=3")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch of the run folder")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: argparse.Namespace) -> int:
    settings = override(read_yaml(arguments.config), arguments.set)
    training = training_config(arguments.stage, settings, str(arguments.config))
    training.train(arguments.out, device=torch_device(arguments.device), resume=arguments.resume, quiet=arguments.quiet)
    if torch.distributed.is_initialized():  # the processes leave together: one that exits early aborts the others' connections
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
