import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from parsing.measures.pictures import confusion_figure
from parsing.measures.report import write_report


@pytest.mark.parametrize(
    ("out", "report", "picture"),
    [("new/folder", "new/folder/report.json", "new/folder/curve.png"), ("new/name.json", "new/name.json", "new/name_curve.png")],
)
def test_a_report_is_a_folder_or_a_file_with_pictures_beside_it(tmp_path: Path, out: str, report: str, picture: str) -> None:
    write_report({"score": 0.5}, tmp_path / out, {"curve": confusion_figure(np.eye(2), "ab", "ab")})
    assert json.loads((tmp_path / report).read_text()) == {"score": 0.5}
    assert cv2.imread(str(tmp_path / picture)) is not None
    assert {path for path in (tmp_path / "new").rglob("*") if path.is_file()} == {tmp_path / report, tmp_path / picture}
