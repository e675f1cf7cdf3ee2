"""Which training and which components belong to which stage: tables of names alone, which import no network."""

from __future__ import annotations

from detectors import PART_DETECTORS, PERSON_DETECTORS
from parsing.configs import Table
from parsing.states import PART_STATES, STATE_FILTERS
from recognizers import RECOGNIZERS
from recognizers.parts import PART_ACTIONS
from recognizers.superres import SUPER_RESOLVERS

STAGES: Table = {
    "person_detector": "detectors.train:DetectorTraining",
    "part_detector": "detectors.train:DetectorTraining",
    "part_states": "parsing.states.train:PartStateTraining",
    "state_filter": "parsing.states.temporal_train:StateFilterTraining",
    "recognizer": "recognizers.train:RecognizerTraining",
    "part_actions": "recognizers.parts.train:PartActionTraining",
    "super_resolution": "recognizers.superres.train:SuperResolutionTraining",
}
COMPONENTS: dict[str, Table] = {
    "person_detector": PERSON_DETECTORS,
    "part_detector": PART_DETECTORS,
    "part_states": PART_STATES,
    "state_filter": STATE_FILTERS,
    "recognizer": RECOGNIZERS,
    "part_actions": PART_ACTIONS,
    "super_resolution": SUPER_RESOLVERS,
}
