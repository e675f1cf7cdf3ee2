"""Video recognizers: a whole video in, a score for every action out."""

from parsing.configs import Table

_VIDEO = "recognizers.video:VideoRecognizerConfig"
RECOGNIZERS: Table = {
    "tsm": _VIDEO,
    "slowfast": _VIDEO,
    "csn": _VIDEO,
    "tanet": _VIDEO,
    "uniformer": _VIDEO,
    "video_swin": _VIDEO,
    "mvit": _VIDEO,
    "s3d": _VIDEO,
    "r2plus1d": _VIDEO,
    "r3d": _VIDEO,
    "resnet3d": _VIDEO,
    "mfnet": _VIDEO,
    "timesformer": _VIDEO,
    "actionclip": _VIDEO,
    "mmaction2": "recognizers.adapters.mmaction2:MMActionConfig",
    "transformers": "recognizers.adapters.transformers:TransformersRecognizerConfig",
    "zero_shot": "recognizers.zero_shot:ZeroShotConfig",
    "oracle": "parsing.recorded.configs:RecordedActionsConfig",
    "replay": "parsing.recorded.configs:RecordedActionsConfig",
}
