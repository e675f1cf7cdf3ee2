"""Train one stage: `python -m pipelines.train STAGE --config FILE --out RUN [--set a.b=c ...] [--resume | --overwrite]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from parsing.learning.runs import run_files
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import read_settings
from pipelines.stages import STAGES
from pipelines.trainings import training_config


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("train", description="Train one stage on your data.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--config", type=Path, required=True, metavar="NAME|FILE", help="a training config, see `partwise list configs`")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder: last and best weights, metrics.jsonl, curves")
    add_set_option(parser, "fit.epochs=3")
    add_device_option(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch of the run folder")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    import torch  # late, with all that needs it: help and usage errors need not wait for it

    from parsing.learning.experiment import experiment

    settings = read_settings(arguments.config, arguments.set)
    training = training_config(arguments.stage, settings, str(arguments.config))
    claim(arguments, run_files(arguments.out), training, going_on=arguments.resume)
    experiment(training, arguments.out, device=torch_device(arguments.device), resume=arguments.resume, quiet=arguments.quiet)
    if torch.distributed.is_initialized():  # the processes leave together: one that exits early aborts the others' connections
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
