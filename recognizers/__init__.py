"""Video recognizers: a whole video in, a score for every action out."""

from parsing.configs import Table

RECOGNIZERS: Table = {
    "tsm": "recognizers.tsm:TSMConfig",
    "oracle": "parsing.recorded:RecordedActionsConfig",
    "replay": "parsing.recorded:RecordedActionsConfig",
}
