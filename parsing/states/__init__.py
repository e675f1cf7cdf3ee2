"""The part-state network: what each part does."""

from parsing.configs import Table

PART_STATES: Table = {
    "part_state_net": "parsing.states.part_state_net:PartStateNetConfig",
    "ensemble": "parsing.states.part_state_net:StateEnsembleConfig",
    "oracle": "parsing.recorded.configs:RecordedStatesConfig",
    "replay": "parsing.recorded.configs:RecordedStatesConfig",
}
STATE_FILTERS: Table = {
    "smooth": "parsing.states.filters:SmoothConfig",
    "temporal_head": "parsing.states.temporal:TemporalHeadConfig",
}
