"""The networks of all stages as `pipelines.export_model` writes them, and what a program has to do before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from parsing.errors import InputError
from parsing.networks.pieces import Piece
from parsing.networks.weights import weights_path
from recognizers.networks import NETWORKS as RECOGNIZERS
from recognizers.superres.networks import NETWORKS as RESOLVERS


@dataclass(frozen=True)
class StageNetwork:
    """A network that is ready to run.

    Args:
        before, after: steps in their order, one sentence each.
        side_px: that no image of its input is larger than; 0 where any may come.
    """

    module: nn.Module
    pieces: Sequence[Piece]
    before: list[str]
    after: list[str]
    side_px: int = 0


def load(stage: str, component: str, weights: str) -> StageNetwork:
    """The network of a weights file.

    Raises:
        InputError: the file is of another stage, or is not whole.
    """
    try:
        build = _LOADERS[stage][component]
    except KeyError:
        raise InputError(
            f"{weights_path(weights)}: weights of {component!r:.80}, which is no {stage}; expected {', '.join(_LOADERS[stage])}"
        ) from None
    return cast(StageNetwork, build(stage, component, weights))


TENSORS = "Tensors are float32 and laid out as (batch, channels, height, width); colours are RGB from 0 to 1, unless said otherwise."
PIXELS = "Images are uint8, RGB, laid out as (batch, channels, height, width); other tensors are float32."
_TWO_STAGE = [
    "The outputs of `dense` are L levels of features that regions are pooled from, then L + 1 maps of objectness logits, then L + 1 of "
    "deltas, finest first; anchors of `anchor_sizes` and `anchor_ratios` stand at every position, all of a position together.",
    "The best `proposals` anchors of each level, their deltas decoded as in Faster R-CNN and clipped to the image, go through NMS at IoU "
    "0.7 level by level; the best `proposals` of all are kept.",
    "Each proposal is pooled to 7 x 7 bins by RoIAlign from the level floor(log2(sqrt(area) / finest_scale_px)), at most the coarsest",
]
_DETECTORS = {
    "cascade_rcnn": [
        *_TWO_STAGE,
        "with `roi_samples` points a bin and axis, aligned. `heads_0`, `heads_1` and `heads_2` follow one another: class logits, the last "
        "class index 0 being background, and deltas of (x, y, w, h) in units of 1/10, 1/10, 1/5, 1/5; half of these; and a third; decoded "
        "and clipped before the next head pools again.",
        "Scores are the softmax over the mean of the three heads' logits, without its first column.",
    ],
    "faster_rcnn": [
        *_TWO_STAGE,
        "with 2 points a bin and axis, not aligned. `judge` gives class logits, index 0 being background, and deltas for each class in "
        "units of 1/10, 1/10, 1/5, 1/5.",
        "Scores are the softmax without its first column; each class has a box of its own.",
    ],
    "retinanet": [
        "`dense` gives logits and deltas of all anchors, three octaves of `anchor_scale` strides and `anchor_ratios` at every position of "
        "every level, and one channel of each level, which tells its size.",
        "Scores are the sigmoid; the best `candidates` pairs of box and class of each level above 0.001 are kept.",
    ],
    "gfl": [
        "`dense` gives for each level logits, logits of four distributions over 0 to `bins` strides (left, top, right, bottom), and one "
        "channel, which tells its size; a position's centre is the middle of its anchor.",
        "A side lies at the mean of its distribution. Scores are the sigmoid; the best `candidates` pairs of each level above 0.001 are "
        "kept.",
    ],
}
_CALIBRATED = "Where `calibration` is not empty, a score becomes sigmoid(scale * logit(score) + shift) of its class."


def _detector(stage: str, component: str, weights: str) -> StageNetwork:
    from detectors.inputs import PAD_COLOUR, PAD_TO_PX
    from detectors.networks import load_network

    network = load_network(component, weights, None, "cpu")
    a = network.architecture
    if stage == "person_detector":
        shorter = f", its shorter to at most {a.shorter_px} px" if a.shorter_px else ""
        seen = (
            f"The image is scaled so that its longer side has {a.input_px} px{shorter}, bilinearly, by area where that halves it or more."
        )
    else:
        seen = (
            f"A square around each person, of {a.context} times the longer side of its box, black outside of the image, is scaled to "
            f"{a.input_px} px."
        )
    pad = f"It is padded at the right and bottom with the colour {PAD_COLOUR}, to multiples of {PAD_TO_PX} px or the size of the input."
    maps = [f"{a.heatmaps} heatmaps of keypoints follow the colours."] if a.heatmaps else []
    last = (
        "Boxes of a class that overlap are suppressed (`suppression` of the stage)."
        if stage == "person_detector"
        else "Of each class the best box is kept, averaged with those that overlap it by IoU 0.6 or more."
    )
    return StageNetwork(
        cast(nn.Module, network),
        network.pieces(),
        [PIXELS, seen, pad, *maps],
        [*_DETECTORS[component], _CALIBRATED, last],
        -(-a.input_px // PAD_TO_PX) * PAD_TO_PX,
    )


def _part_states(stage: str, component: str, weights: str) -> StageNetwork:
    del stage, component
    from parsing.states.part_state_net import load_part_state_net

    network, _ = load_part_state_net(weights, "cpu")
    a = network.architecture
    seen = f"A square around each person, of {a.context} times the longer side of its box, is scaled to {a.input_px} px."
    after = [
        "`look` gives features, which are pooled around each part by RoIAlign to 3 x 3 bins, two points a bin and axis, aligned, and the "
        "features of the person.",
        f"`tell` takes both, the part boxes as shares of the crop's side from its middle, which of them are visible, and what is added for "
        f"the action, (batch, 1, {a.dim}), as in `parsing.states.network`; it gives logits of each part and state.",
    ]
    return StageNetwork(network, network.pieces(), [PIXELS, seen], after)


def _recognizer(stage: str, component: str, weights: str) -> StageNetwork:
    del stage
    from recognizers.networks.folding import fold_norms
    from recognizers.video import clip_pieces, load_recognizer

    network, architecture, labels = load_recognizer(cast(Any, component), weights, "cpu")
    fold_norms(network)
    seen = f"Clips (batch, frames, channels, height, width) of squares of {architecture.input_px} px; frames as {architecture.sampling}."
    kind = f"The input is {architecture.input}; of flow see `recognizers.clips.flow`."
    after = "Logits of each action, averaged over clips before the " + ("sigmoid." if labels.multi_label else "softmax.")
    return StageNetwork(network, clip_pieces(architecture), [TENSORS, seen, kind], [after])


def _super_resolution(stage: str, component: str, weights: str) -> StageNetwork:
    del stage
    from recognizers.superres.networks import load_network

    module, architecture = load_network(cast(Any, component), weights, "cpu")
    network: Any = module
    steps = [
        "From the last frame to the first, `backward_branch` takes a frame and the features of the frame after it, which flow aligned, "
        "zeros at the end; `forward_branch` does the same from the first frame to the last.",
        f"`details` takes the features of both, one after the other; its output is added to the frame, enlarged {architecture.scale} "
        f"times by {architecture.base} interpolation.",
    ]
    return StageNetwork(module, network.pieces(), [TENSORS], steps)


_LOADERS: dict[str, dict[str, Any]] = {
    "person_detector": dict.fromkeys(_DETECTORS, _detector),
    "part_detector": dict.fromkeys(_DETECTORS, _detector),
    "part_states": {"part_state_net": _part_states},
    "recognizer": dict.fromkeys(RECOGNIZERS, _recognizer),
    "super_resolution": dict.fromkeys(RESOLVERS, _super_resolution),
}
