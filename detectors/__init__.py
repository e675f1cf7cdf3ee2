"""Person and part detectors, their data and their trainer."""

from parsing.configs import Table

PERSON_DETECTORS: Table = {
    "cascade_rcnn": "detectors.stages:CascadePersonConfig",
    "oracle": "parsing.recorded:OraclePersonDetectorConfig",
    "replay": "parsing.recorded:ReplayPersonDetectorConfig",
}
PART_DETECTORS: Table = {
    "cascade_rcnn": "detectors.stages:CascadePartConfig",
    "oracle": "parsing.recorded:OraclePartDetectorConfig",
    "replay": "parsing.recorded:ReplayPartDetectorConfig",
}
