from pathlib import Path

import pytest
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.video import R2Plus1D_18_Weights

from parsing.errors import InputError
from parsing.label_lists import LABEL_LISTS, label_list, labels_for


def test_lists_are_those_of_published_weights() -> None:
    assert {name: len(label_list(name)) for name in LABEL_LISTS} == {
        "coco": 80,
        "kinetics400": 400,
        "something_v1": 174,
        "something_v2": 174,
    }
    assert list(label_list("kinetics400")) == R2Plus1D_18_Weights.KINETICS400_V1.meta["categories"]
    drawn = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert list(label_list("coco")) == [name for name in drawn if name not in ("__background__", "N/A")]
    assert label_list("something_v2")[0] == "Approaching something with your camera"
    assert set(label_list("something_v1")) - set(label_list("something_v2")) == set()


def test_names_of_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert labels_for(2, [str(tmp_path / "names.txt")], ["x"]) == ("a", "b")
    assert labels_for(2, ["a", "b"], ["x", "y"]) == ("a", "b")
    assert labels_for(2, [], ["x", "y"]) == ("x", "y")
    assert labels_for(80, ["coco"])[0] == "person"
    assert labels_for(1, ["person"]) == ("person",)
    for count, given, message in (
        (401, ["kinetics400"], "400 names for 401 classes of the checkpoint$"),
        (400, [f"c{i}" for i in range(401)], "401 names for 400 classes of the checkpoint; --classes kinetics400 has as many$"),
        (3, [], "0 names for 3 classes of the checkpoint$"),
    ):
        with pytest.raises(InputError, match=f"^--classes: {message}"):
            labels_for(count, given)
    lost = "no such list or file, and one name for 400 classes of the checkpoint; --classes kinetics400 has as many"
    with pytest.raises(InputError, match=rf"^--classes lost\.txt: {lost}$"):
        labels_for(400, ["lost.txt"])
