"""The one training loop: a generator of epochs that every stage's trainer drives.

A task is a module whose forward takes a batch and returns a dict of named losses. Data is a map-style dataset
whose `__getitem__` takes `(index, seed)`, and more where the batches say more: every random choice of an item comes
from that seed, so the stream of batches does not depend on worker counts, and training resumed from an epoch equals
training never stopped.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Protocol, cast

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from pydantic import Field
from rich.progress import BarColumn, Progress, TextColumn
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader

from parsing.batching import is_out_of_memory
from parsing.configs import Count, Share, config
from parsing.errors import InputError
from parsing.learning.batches import Batches, EpochSampler, EqualBatches
from parsing.learning.runs import RunFolder
from parsing.learning.state import Learner, flat_facts, load_state, save_state
from parsing.progress import Pace, pace_text

log = logging.getLogger(__name__)
# A block of a timm backbone: `layers_2.blocks.5`, `layer3.4`, `blocks.2.1`.
_BLOCK = re.compile(r"(layers?_?\d+\.(blocks\.)?\d+|blocks\.\d+\.\d+|layers_\d+\.downsample)")
_DEAD_WORKER = "DataLoader worker (pid"  # PyTorch has no type for it


class SeededDataset(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any: ...


@config
class FitConfig:
    """How to optimise; the same for every stage.

    Args:
        epochs: passes over the data (over `epoch_size` draws where a sampler repeats items). A run that is resumed may be given
            more: its learning rate then goes on as if these had been planned from the start, so it may rise once.
        batch_size: items a step and process; `accumulate` steps make one update, those left at the end of an epoch another.
        optimizer: AdamW, or SGD with Nesterov `momentum`.
        lr: peak learning rate, after `warmup` (share of all updates).
        schedule: `cosine`, a decay to 1 %, `cycles` times over with warm restarts (Loshchilov & Hutter 2017); or `step`, a
            tenth after each of `cycles` equal parts of the training, as the VIPriors report does.
        backbone_lr_scale: factor on `lr` for parameters whose name holds "backbone".
        layer_decay: further factor for each block of the backbone below its last (Swin is fine-tuned with 0.7 to 0.95).
        clip_grad: largest gradient norm.
        ema_decay: decay of the weights' moving average, which is what is evaluated and saved; 0 turns it off.
        precision: as Lightning Fabric names it.
    """

    epochs: Count
    batch_size: Count
    lr: Annotated[float, Field(gt=0, le=1000)]
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["cosine", "step"] = "cosine"
    cycles: Count = 1
    accumulate: Count = 1
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.05
    warmup: Share = 0.03
    backbone_lr_scale: Annotated[float, Field(ge=0, le=1000)] = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    clip_grad: Annotated[float, Field(gt=0, le=1e12)] = 5.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    num_workers: Annotated[int, Field(ge=0, le=1024)] = 0
    log_every: Count = 20


@dataclass(frozen=True)
class Epoch:
    """One finished epoch: its number from 0, mean losses, and the weights to evaluate (EMA where it is on)."""

    number: int
    losses: dict[str, float]
    module: nn.Module = field(repr=False)


def learning_rate_scale(update: int, num_updates: int, settings: FitConfig) -> float:
    """Linear warm-up over a share of the updates, then what the schedule says."""
    warm = max(1, round(settings.warmup * num_updates))
    if update < warm:
        return (update + 1) / warm
    progress = (update - warm) / max(1, num_updates - warm) * settings.cycles
    cycle = min(int(progress), settings.cycles - 1)
    if settings.schedule == "step":
        return 0.1**cycle
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress - cycle)))


def parameter_groups(task: nn.Module, settings: FitConfig) -> list[dict[str, Any]]:
    """No weight decay on vectors (norms, biases); a scaled rate on the backbone, smaller block by block towards its input."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    depths = backbone_depths([name for name, _ in task.named_parameters()])
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            scale = settings.backbone_lr_scale * settings.layer_decay ** depths[name] if "backbone" in name else 1.0
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": p, "lr": settings.lr * scale, "base_lr": settings.lr * scale, "weight_decay": decay}
        for (scale, decay), p in groups.items()
    ]


def _optimizer(task: nn.Module, settings: FitConfig) -> torch.optim.Optimizer:
    groups = parameter_groups(task, settings)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.lr, settings.momentum, nesterov=settings.momentum > 0)
    return torch.optim.AdamW(groups)


def backbone_depths(names: Sequence[str]) -> dict[str, int]:
    """How many blocks of the backbone lie behind each of its parameters; 0 for those in the last and outside of blocks after it."""
    inside = [name for name in names if "backbone" in name]
    block = {name: found.group() if (found := _BLOCK.search(name)) else "" for name in inside}
    order = list(dict.fromkeys(block[name] for name in inside))  # parameters are listed from the input to the output
    return {name: 0 if "output_norms" in name else len(order) - 1 - order.index(block[name]) for name in inside}


def fit(
    task: nn.Module,
    dataset: SeededDataset,
    collate: Callable[[list[Any]], Any],
    settings: FitConfig,
    run: RunFolder,
    *,
    sample_weights: Sequence[float] | None = None,
    batches: Callable[[EpochSampler, int], Batches] = EqualBatches,
    device: str = "cpu",
    resume: bool = False,
    quiet: bool = False,
) -> Iterator[Epoch]:
    """Train, yielding after each epoch; the state on disk is written after the caller has dealt with the epoch.

    Args:
        batches: makes batches of a sampler's draws and the batch size.

    Raises:
        InputError: nothing to train on, or to resume from, or the saved state is not whole, or of another run; memory does not
            hold a batch, or a process that reads the data died.
        FloatingPointError: a loss is not finite; names it and the step.
    """
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))  # torchrun sets them
    fabric = Fabric(
        accelerator="cuda" if device.startswith("cuda") else "cpu",
        strategy=DDPStrategy(find_unused_parameters=True) if world > 1 else "auto",  # a pyramid may leave out the last level
        devices=local,
        num_nodes=world // local,
        precision=settings.precision,
    )
    fabric.launch()
    fabric.seed_everything(settings.seed, verbose=False)
    for parameter in task.parameters():
        if parameter.ndim == 4:  # convolutions over images are a quarter faster so
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimizer = _optimizer(task, settings)
    model, optimizer = fabric.setup(task, optimizer)
    ema = ModelEmaV3(task, decay=settings.ema_decay, use_warmup=True) if settings.ema_decay else None
    if len(dataset) < fabric.world_size:
        raise InputError(f"{len(dataset)} items to train on for {fabric.world_size} processes, expected at least one each")
    sampler = EpochSampler(len(dataset), sample_weights, settings.seed, fabric.global_rank, fabric.world_size)
    order = batches(sampler, settings.batch_size)
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]  # indexed by (index, seed), as the sampler draws
        batch_sampler=order,
        collate_fn=collate,
        num_workers=settings.num_workers,
        persistent_workers=settings.num_workers > 0,
        generator=torch.Generator(),  # workers that start must not draw from the generator that dropout draws from
    )
    steps = [order.steps(number) for number in range(settings.epochs)]
    updates = [math.ceil(count / settings.accumulate) for count in steps]
    facts = flat_facts({**run.config, "fit": asdict(settings), "items": len(dataset), "processes": fabric.world_size})
    learner = Learner(task, ema, optimizer)
    first = load_state(run.state_path, learner, facts, run.defaults) if resume else 0
    run.begin()
    if first >= settings.epochs:
        log.info("%s: all %d epochs are finished; a larger fit.epochs goes on", run.path, settings.epochs)
    progress = _Progress(settings, steps, first, quiet or fabric.global_rank > 0)
    with closing(run), closing(progress), _plain_errors(settings):  # also where the caller stops early
        for number in range(first, settings.epochs):
            order.begin(number)
            torch.manual_seed(settings.seed * 100_003 + number)  # dropout too must not depend on what ran before
            task.train()
            sums: dict[str, float] = {}
            for step, batch in enumerate(_read(loader)):
                update = sum(updates[:number]) + step // settings.accumulate
                for group in optimizer.param_groups:
                    group["lr"] = group["base_lr"] * order.lr_scale * learning_rate_scale(update, sum(updates), settings)
                together = min(settings.accumulate, steps[number] - step // settings.accumulate * settings.accumulate)
                updating = (step + 1) % settings.accumulate == 0 or step + 1 == steps[number]
                with fabric.no_backward_sync(model, enabled=not updating):
                    losses: dict[str, Tensor] = model(fabric.to_device(batch))
                    stacked = torch.stack(list(losses.values()))
                    values = dict(zip(losses, stacked.tolist(), strict=True))  # one wait for the device, not one for each loss
                    _check_finite(values, number, step)
                    fabric.backward(stacked.sum() / together)
                if updating:
                    fabric.clip_gradients(model, optimizer, max_norm=settings.clip_grad, error_if_nonfinite=False)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    if ema is not None:
                        ema.update(task, step=update)
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value
                progress.advance(number, step, {name: total / (step + 1) for name, total in sums.items()})
            over_all = cast(Tensor, fabric.all_reduce(torch.tensor(list(sums.values()), dtype=torch.float64)))  # mean over processes
            means = {name: total / steps[number] for name, total in zip(sums, over_all.tolist(), strict=True)}
            run.add_scalars({f"loss/{name}": value for name, value in means.items()}, number)
            yield Epoch(number, means, ema.module if ema is not None else task)
            if fabric.global_rank == 0:
                save_state(run.state_path, learner, number + 1, facts)


def agreed(value: bool) -> bool:
    """What the first of several processes says, in all of them."""
    shared = [value]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(shared)
    return shared[0]


def _read(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batches; of a worker's `InputError` the one line alone, without the traceback that the loader puts before it."""
    if loader.num_workers:
        # OpenCV starts a thread a core in every process, and these would fight for the cores. It is told here, as a process
        # that was forked waits forever for the threads of its parent when it is told itself.
        cv2.setNumThreads(1)
    try:
        yield from loader
    except InputError as error:
        raise InputError(str(error).rstrip().splitlines()[-1].removeprefix(f"{InputError.__module__}.InputError: ")) from None


def _check_finite(losses: dict[str, float], epoch: int, step: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(f"epoch {epoch} step {step}: loss {', '.join(bad)} is not finite")


@contextmanager
def _plain_errors(settings: FitConfig) -> Iterator[None]:
    """Errors that a setting can mend become one line that names it: too little memory, and processes that read the data and died."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if _DEAD_WORKER in str(error):
            workers = f"fit.num_workers {settings.num_workers}"
            raise InputError(f"{workers}: a process that reads the data died, often for want of memory; expected fewer, or 0") from None
        if is_out_of_memory(error):
            size = f"fit.batch_size {settings.batch_size}"
            raise InputError(f"{size}: out of memory; expected a smaller one, with a larger fit.accumulate for the same updates") from None
        raise


class _Progress:
    """A bar with rate and ETA on a terminal, a log line every so many steps elsewhere."""

    def __init__(self, settings: FitConfig, steps: Sequence[int], first: int, quiet: bool) -> None:
        self.settings, self.steps, self.quiet = settings, steps, quiet
        self.pace, self.before = Pace(), sum(steps[:first])
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        self.bar = Progress(*columns, disable=quiet)
        self.live = not quiet and self.bar.console.is_terminal
        if self.live:
            self.bar.start()
            self.task = self.bar.add_task("training", total=sum(steps), completed=self.before, text="")

    def advance(self, epoch: int, step: int, losses: dict[str, float]) -> None:
        self.pace.advance()
        done = self.before + self.pace.done
        named = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        where = f"epoch {epoch + 1}/{self.settings.epochs}"
        pace = pace_text(self.pace, sum(self.steps) - done, "items", self.settings.batch_size)
        if self.live:
            self.bar.update(self.task, completed=done, description=where, text=f"{pace}  {named}")
        elif not self.quiet and (step + 1) % self.settings.log_every == 0:
            log.info("%s step %d/%d  %s  %s", where, step + 1, self.steps[epoch], pace, named)

    def close(self) -> None:
        if self.live:
            self.bar.stop()
