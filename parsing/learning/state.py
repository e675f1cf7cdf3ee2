"""What a training goes on from: its state after the last epoch, and whether that is of the run that goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from pydantic import ValidationError
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.files import atomic, naming_full_disk
from parsing.networks.checkpoints import check_unpacked

log = logging.getLogger(__name__)

EPOCHS = "fit.epochs"  # may be raised
# These change nothing in what is learned.
_FREE = frozenset({EPOCHS, "fit.num_workers", "fit.log_every", "eval_every", "keep_epochs", "stop_at", "data.most_mb"})
_MOST_NAMED = 3
Facts = dict[str, Any]


@dataclass(frozen=True)
class Learner:
    """What learns: the task, the moving average of its weights, and the optimizer."""

    task: nn.Module
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer


def flat_facts(settings: Mapping[str, Any], prefix: str = "") -> Facts:
    """Nested settings as JSON values under dotted names."""
    flat: Facts = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_facts(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.loads(json.dumps(value, default=str))
    return flat


def default_facts(settings: Any, prefix: str = "") -> Facts:
    """What each optional setting of a typed config would be if it were not given, as `flat_facts` has it."""
    facts: Facts = {}
    declared = type(settings).__pydantic_fields__
    values = {name: getattr(settings, name) for name in declared}
    for name, value in values.items():
        if is_dataclass(value):
            facts |= default_facts(value, f"{prefix}{name}.")
        elif not declared[name].is_required():
            with suppress(ValidationError):  # the other settings need it
                others = type(settings)(**{other: value for other, value in values.items() if other != name})
                facts |= flat_facts({name: asdict(others)[name]}, prefix)
    return facts


def save_state(path: Path, learner: Learner, epoch: int, facts: Facts) -> None:
    """Write what `load_state` reads, atomically.

    Args:
        epoch: the first that is not finished.
        facts: what the run is: settings, and what else its result depends on.

    Raises:
        OSError: the disk is full; names the file, what it needs and what is free.
    """
    ema = learner.ema.module.state_dict() if learner.ema else None
    state = {"task": learner.task.state_dict(), "ema": ema, "optimizer": learner.optimizer.state_dict(), "epoch": epoch, "facts": facts}
    with naming_full_disk(path, sum(_sizes(state))), atomic(path) as temporary:
        _write(temporary, state)


def load_state(path: Path, learner: Learner, facts: Facts, defaults: Mapping[str, Any] = MappingProxyType({})) -> int:
    """Fill the learner with what was saved.

    Args:
        defaults: facts that hold for a state that does not name them.

    Returns:
        The first epoch that is not finished.

    Raises:
        InputError: there is no state, it is not whole, or it is of another run; says what to do.
    """
    state = _read(path)
    _check_same_run(path, {**defaults, **state["facts"]}, facts)
    try:
        learner.task.load_state_dict(state["task"])
        if learner.ema is not None:
            learner.ema.module.load_state_dict(state["ema"])
        learner.optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path}: of another network; restore the network's settings, or start a new run without --resume") from None
    before, now = state["facts"].get(EPOCHS), facts.get(EPOCHS)
    if before != now:
        log.info("%s raised from %s to %s: the learning rate goes on as if these had been planned from the start", EPOCHS, before, now)
    return int(state["epoch"])


def _write(path: Path, state: dict[str, Any]) -> None:
    try:
        with path.open("wb") as file:  # PyTorch's own files do not tell why they cannot be written
            torch.save(state, file)
    except RuntimeError as error:  # of the archive, which cannot be closed after what went wrong before
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"{path}: nothing to resume from")
    with path.open("rb") as file:
        begins = file.read(2)
    try:
        check_unpacked(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception:  # torch.load fails in many ways on files that are not its own, or no longer
        state = None
    whole = isinstance(state, dict) and isinstance(state.get("facts"), dict) and isinstance(state.get("epoch"), int) and state["epoch"] >= 0
    if not whole:
        # PyTorch writes zip archives.
        reason = "is empty" if not begins else "is cut or damaged" if begins == b"PK" and state is None else "is no state of a training"
        raise InputError(f"{path}: {reason}; put a whole copy in its place, or start a new run without --resume")
    return dict(state)


def _check_same_run(path: Path, saved: Facts, now: Facts) -> None:
    names = [name for name in sorted(saved.keys() | now.keys()) if name not in _FREE and saved.get(name) != now.get(name)]
    if names:
        listed = ", ".join(f"{name} {_short(saved.get(name))}, now {_short(now.get(name))}" for name in names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise InputError(f"{path}: of a run with other settings: {listed}{more}; restore them, or start a new run without --resume")
    if (saved.get(EPOCHS) or 0) > (now.get(EPOCHS) or 0):
        raise InputError(f"{path}: of a run with {EPOCHS} {saved[EPOCHS]}, now {now.get(EPOCHS)}; on --resume they may be raised alone")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sizes(value: Any) -> Iterator[int]:
    """Bytes of every tensor inside."""
    if isinstance(value, Tensor):
        yield value.numel() * value.element_size()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _sizes(item)
