"""The language of a parse (types, vocabulary, geometry, stages, documents) and the ground that all stages stand on."""

from parsing.errors import InputError
from parsing.types import (
    ActionScore,
    Detections,
    Frame,
    FrameParse,
    ModelFacts,
    Parts,
    PartStates,
    VideoFacts,
)
from parsing.vocabulary import PART_NAMES, Vocabulary

__all__ = [
    "PART_NAMES",
    "ActionScore",
    "Detections",
    "Frame",
    "FrameParse",
    "InputError",
    "ModelFacts",
    "PartStates",
    "Parts",
    "VideoFacts",
    "Vocabulary",
]
