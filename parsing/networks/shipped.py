"""The weights that come along."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

# Name in a config -> package that ships the file under its `weights` folder.
SHIPPED = {
    "default/person_detector": "detectors",
    "default/part_detector": "detectors",
    "default/part_states": "parsing.states",
    "default/state_filter": "parsing.states",
    "default/recognizer": "recognizers",
    "default/recognizer_people": "recognizers",
    "default/part_actions": "recognizers",
    "default/low_res_recognizer": "recognizers",
    "default/low_res_recognizer_frames": "recognizers",
    "default/super_resolution": "recognizers.superres",
}


def shipped_path(name: str) -> Path:
    """The file of a name of SHIPPED."""
    return Path(str(resources.files(SHIPPED[name]))) / "weights" / f"{name.partition('/')[2]}.safetensors"
