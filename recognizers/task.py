"""What a step of a recognizer's training computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision import tv_tensors
from torchvision.transforms import v2

from recognizers.clips.training_views import Batch
from recognizers.losses import ActionLossConfig, action_loss

FreezeNorm = Literal["none", "all", "all_but_first"]
Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class RecognitionTask(nn.Module):
    """Losses of a network on a batch.

    Args:
        freeze_norm: batch norms that keep their statistics and affine terms.
        mix: mixes the clips of a batch, and their labels and knowledge, with each other.
        alpha: share of the loss of the labels; the rest is the mean square between the network's probabilities and the
            teacher's (SIAT 2022, equation 1).
    """

    def __init__(
        self, network: nn.Module, loss: ActionLossConfig, freeze_norm: FreezeNorm = "none", mix: Mix | None = None, alpha: float = 1.0
    ) -> None:
        super().__init__()
        self.network, self.loss, self.freeze_norm, self.mix, self.alpha = network, loss, freeze_norm, mix, alpha
        for norm in self._frozen():
            norm.requires_grad_(False)

    def train(self, mode: bool = True) -> RecognitionTask:
        super().train(mode)
        for norm in self._frozen():
            norm.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        # One without affine terms only brings features to a scale, which it must learn first.
        norms: list[nn.Module] = [module for module in self.network.modules() if isinstance(module, _BatchNorm) and module.affine]
        return {"none": [], "all": norms, "all_but_first": norms[1:]}[self.freeze_norm]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        clips, labels, knowledge = batch
        clips = clips.float() / 255
        if self.mix is not None and self.training:
            clips, both = self.mix(tv_tensors.Video(clips), torch.cat([labels, knowledge], 1))
            labels, knowledge = both[:, : labels.shape[1]], both[:, labels.shape[1] :]
        logits = self.network(clips.as_subclass(Tensor)).float()
        losses = {"action": self.alpha * action_loss(logits, labels, self.loss)}
        if self.alpha < 1:
            probabilities = logits.sigmoid() if self.loss.multi_label else logits.softmax(-1)
            losses["distillation"] = (1 - self.alpha) * F.mse_loss(probabilities, knowledge)
        return losses


def mixing(num_targets: int, mixup: float, cutmix: float) -> Mix | None:
    """What mixes the clips of a batch with each other; targets are labels and, where there is a teacher, what it predicted."""
    kinds = [v2.MixUp(num_classes=num_targets, alpha=mixup)] if mixup else []
    kinds += [v2.CutMix(num_classes=num_targets, alpha=cutmix)] if cutmix else []
    return v2.RandomChoice(kinds) if kinds else None


def repeats_of(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network: the members of every run of modules of one class that are made of modules themselves."""
    if isinstance(network, nn.Sequential | nn.ModuleList) and _is_run(list(network)):
        return list(network)
    return [block for child in network.children() for block in repeats_of(child)]


def _is_run(modules: list[nn.Module]) -> bool:
    kind = type(modules[0]) if modules else nn.Sequential
    made_of_modules = all(any(True for _ in module.children()) for module in modules)
    return not issubclass(kind, nn.Sequential | nn.ModuleList) and made_of_modules and {type(m) for m in modules} == {kind}


def checkpoint_blocks(network: nn.Module) -> int:
    """Let the blocks of a network forget what they computed and compute it again for their gradients (Chen et al. 2016).

    Statistics of batch norms move once, not twice.

    Returns:
        The number of blocks.
    """
    blocks = repeats_of(network)
    for block in blocks:
        block.forward = _Checkpointed(block)
    return len(blocks)


class _Checkpointed:
    """A block's forward, again in the backward pass."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]

    def __call__(self, *inputs: Any, **options: Any) -> Tensor:
        run = type(self.block).forward
        if not (self.block.training and torch.is_grad_enabled()):
            return run(self.block, *inputs, **options)  # type: ignore[no-any-return]
        contexts = lambda: (_Momenta([]), _Momenta(self.norms))  # noqa: E731
        found: Tensor = torch.utils.checkpoint.checkpoint(run, self.block, *inputs, use_reentrant=False, context_fn=contexts, **options)
        return found


class _Momenta:
    """Batch norms whose statistics stand still within."""

    def __init__(self, norms: list[_BatchNorm]) -> None:
        self.norms = norms

    def __enter__(self) -> None:
        self.kept = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0

    def __exit__(self, *_: object) -> None:
        for norm, momentum in zip(self.norms, self.kept, strict=True):
            norm.momentum = momentum
