"""Video recognizers: a whole video in, a score for every action out."""

from parsing.configs import Table

RECOGNIZERS: Table = {
    "tsm": "recognizers.tsm:TSMConfig",
    "oracle": "parsing.recorded_configs:RecordedActionsConfig",
    "replay": "parsing.recorded_configs:RecordedActionsConfig",
}
