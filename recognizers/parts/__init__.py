"""Actions from parts: tracks of persons, with their parts and what these do, in; a score for every action out."""

from parsing.configs import Table

PART_ACTIONS: Table = {"part_tracks": "recognizers.parts.stage:PartTracksConfig"}
