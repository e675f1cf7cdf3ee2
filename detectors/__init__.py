"""Person and part detectors, their data and their trainer."""

from parsing.configs import Table

PERSON_DETECTORS: Table = {
    "cascade_rcnn": "detectors.stages:CascadePersonConfig",
    "oracle": "parsing.recorded:RecordedPersonsConfig",
    "replay": "parsing.recorded:RecordedPersonsConfig",
}
PART_DETECTORS: Table = {
    "cascade_rcnn": "detectors.stages:CascadePartConfig",
    "oracle": "parsing.recorded:RecordedPartsConfig",
    "replay": "parsing.recorded:RecordedPartsConfig",
}
