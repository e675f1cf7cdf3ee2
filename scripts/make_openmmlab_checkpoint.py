#!/usr/bin/env python3
"""A tiny checkpoint with what OpenMMLab's trainings leave in theirs, saved by mmengine's own classes, in both forms of PyTorch.

    make .venv-openmmlab/installed && .venv-openmmlab/bin/python scripts/make_openmmlab_checkpoint.py

Writes tests/data/openmmlab.pth and tests/data/openmmlab_old.pth: a linear layer and a batch norm of ones, among message
hubs, history buffers, configs, NumPy scalars and arrays. mmengine, addict and termcolor are all that it needs beside PyTorch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub

DATA = Path(__file__).parent.parent / "tests" / "data"


def main() -> None:
    hub = MessageHub.get_instance("fixture")
    for loss in (0.5, 0.25):
        hub.update_scalar("train/loss", loss)
    hub.update_info("epoch", 3)
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter)
    meta = {
        "epoch": 3,
        "mAP": np.float64(0.4),
        "cfg": ConfigDict(model=ConfigDict(type="TSM")),
        "dataset_meta": {"classes": ("stand", "walk"), "palette": np.zeros((2, 3))},
    }
    state = {"meta": meta, "message_hub": hub.state_dict(), "state_dict": network.state_dict(), "optimizer": {"lr": np.float32(0.1)}}
    torch.save(state, DATA / "openmmlab.pth")
    torch.save(state, DATA / "openmmlab_old.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
