"""Lists of labels that public weights were trained on, by name.

`kinetics400`, `something_v1` and `something_v2` stand in the order of the classes of mmaction2's and torchvision's weights (that
of the data sets' own lists; `something_v1` as in mmaction2's `tools/data/sthv1/label_map.txt`), `coco` are the 80 categories in
the order of their ids. They are lists of facts from the data sets' annotations: Kinetics-400 (Kay et al., 2017),
Something-Something V1 and V2 (Goyal et al., 2017), COCO (Lin et al., 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from parsing.errors import InputError
from parsing.vocabulary import read_list

LABEL_LISTS = ("coco", "kinetics400", "something_v1", "something_v2")


def label_list(name: str) -> tuple[str, ...]:
    """The labels of a list of LABEL_LISTS, in order."""
    return read_list(Path(str(resources.files("parsing"))) / "labels" / f"{name}.txt")


def labels_for(count: int, given: Sequence[str], listed: Sequence[str] = ()) -> tuple[str, ...]:
    """Names for the classes of a checkpoint.

    Args:
        count: of its classes.
        given: names, or the name of a list or of a file of them alone.
        listed: those that the checkpoint has, which count where none are given.

    Raises:
        InputError: there are more or fewer than classes.
    """
    names = tuple(given) or tuple(listed)
    if len(given) == 1 and (given[0] in LABEL_LISTS or Path(given[0]).is_file()):
        names = label_list(given[0]) if given[0] in LABEL_LISTS else read_list(Path(given[0]))
    elif len(given) == 1 != count:
        raise InputError(
            f"--classes {given[0]:.80}: no such list or file, and one name for {count} classes of the checkpoint{_fitting(count)}"
        )
    if len(names) != count:
        raise InputError(f"--classes: {len(names)} names for {count} classes of the checkpoint{_fitting(count)}")
    return names


def _fitting(count: int) -> str:
    """The lists of so many labels, to end a message with."""
    fitting = " or ".join(name for name in LABEL_LISTS if len(label_list(name)) == count)
    return f"; --classes {fitting} has as many" if fitting else ""
