"""Converted checkpoints against outputs of mmdet itself (scripts/make_mmdet_fixtures.py)."""

import pytest
from parity import NMS_IOU, differences


@pytest.mark.parametrize("target", sorted(NMS_IOU))
def test_converted_network_equals_mmdet(target: str) -> None:
    found = differences(target)
    assert found.pop("boxes_px") < 0.5
    assert found.pop("scores") < 1e-3
    assert found.keys() == {"backbone", "pyramid", "class", "box"}
    assert max(found.values()) < 1e-4
