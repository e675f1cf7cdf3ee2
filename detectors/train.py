"""Training and evaluation of person and part detectors."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field
from torch import nn

from detectors.data import DetectionDataConfig
from detectors.drawing import draw_examples
from detectors.evaluation import (
    LEAST_SCORE,
    MOST_PERSONS,
    Target,
    evaluate_network,
    figures_by_source,
    network_items,
    part_items,
    person_items,
)
from detectors.networks import ARCHITECTURES, DetectionNetwork, NetworkName, build_network, load_network
from detectors.networks.architectures import DetectorArchitecture
from detectors.networks.calibration import fit_calibration
from detectors.parts import PartDetectorConfig, PoseChoice
from detectors.persons import PersonDetectorConfig
from detectors.task import DetectionTask
from detectors.views import collate
from parsing.configs import Choice, Count, StageConfig, config
from parsing.datasets.records import PERSON
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.networks.backbones import Pretrained
from parsing.networks.initial import pretrained_of, start_from
from parsing.networks.weights import read_header, save_weights, weights_path
from parsing.stages import PoseEstimator

log = logging.getLogger(__name__)


@config
class DetectorTraining:
    """A training of one detector; `target` says whether it finds objects in images or parts in person crops.

    Args:
        architecture: of the network.
        initial: weights of the same network to start from, of any classes (`parsing.networks.initial`); empty for none. Their
            calibration stays with the new weights where the classes are the same.
        pose: config of the pose estimator that gives heatmaps in evaluation, where the architecture asks for them.
        frozen_level: backbone weights up to this feature level stay as they are; -1 trains all.
        eval_every: epochs between evaluations; the last one is always evaluated.
    """

    name: NetworkName
    target: Target
    architecture: Annotated[DetectorArchitecture, Choice(ARCHITECTURES, "name")]
    data: DetectionDataConfig
    fit: FitConfig
    pose: PoseChoice | None = None
    pretrained: Pretrained = "imagenet"
    initial: str = ""
    frozen_level: Annotated[int, Field(ge=-1, le=9)] = -1
    eval_every: Count = 1

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        a, pose, pretrained = self.architecture, self._pose(device), pretrained_of(self.pretrained, self.initial)
        records, val = self.data.splits(self.target, a.class_names)
        views = self.data.views(records, self.target, a)
        labels = {"classes": list(a.class_names)}
        network = build_network(self.name, a, "none" if resumed else pretrained, self.frozen_level)
        start_from(network, "" if resumed else self.initial, self.name, labels, cast(DetectionNetwork, network).named_rows)

        def score(task: nn.Module) -> Scored:
            network = cast(DetectionTask, task).network
            given = cast(DetectionNetwork, network), val, self.target, device, pose
            return Scored(network, evaluate_network(*given), {"examples": draw_examples(*given)})

        return Prepared(
            DetectionTask(network),
            views,
            collate,
            score,
            figures=("all.AP", "all.AP50", "all.AR"),
            architecture=a,
            labels=labels,
            facts={"pretrained": pretrained},
            calibration=self._initial_calibration(resumed),
            weights=self.data.draw_weights(views),
            every=self.eval_every,
        )

    def component(self, weights: str) -> StageConfig:
        """The detector with hardly a threshold, as figures over all recalls want it."""
        if self.target == "persons":
            return PersonDetectorConfig(self.name, weights, score_threshold=LEAST_SCORE, max_persons=MOST_PERSONS)
        return PartDetectorConfig(self.name, weights, score_threshold=0.0, pose=self.pose)

    def evaluate(self, stage: Any, *, device: str) -> dict[str, Any]:  # noqa: ARG002  # of the protocol
        """COCO figures on the validation file, for all images and for each source.

        Boxes below the component's own score threshold are not counted, so set that low.
        """
        val = self.data.read("val")
        if self.target == "persons":
            return figures_by_source(person_items(stage, val, (PERSON,)), (PERSON,))
        return figures_by_source(part_items(stage, val), stage.part_names)

    def calibrate(self, weights: str, out: Path, *, device: str) -> dict[str, Any]:
        """Write the weights with a calibration of their scores, fitted on the validation file; returns it."""
        network = load_network(self.name, weights, self.architecture.class_names, device)
        network.calibration = None
        items = network_items(network, self.data.read("val"), self.target, device, self._pose(device))
        fitted = asdict(fit_calibration([i.truth for i in items], [i.found for i in items], len(self.architecture.class_names)))
        save_weights(cast(nn.Module, network), out, replace(read_header(weights, self.name), calibration=fitted))
        return fitted

    def _initial_calibration(self, resumed: bool) -> dict[str, Any]:
        """Scores that are used with the thresholds of before keep their scale until `calibrate` fits it anew."""
        if not self.initial:
            return {}
        if resumed and not weights_path(self.initial).is_file():
            log.warning("%s: not there, so scores are not calibrated as its were; pipelines.calibrate fits them", self.initial)
            return {}
        header = read_header(self.initial, self.name)
        return header.calibration if header.labels.get("classes") == list(self.architecture.class_names) else {}

    def _pose(self, device: str) -> PoseEstimator | None:
        if not self.architecture.heatmaps:
            return None
        if self.pose is None or self.target == "persons":
            raise InputError("architecture.heatmaps: wants part detectors (target: parts) and a pose estimator (pose: {name: …})")
        return cast(PoseEstimator, self.pose.build(device))
