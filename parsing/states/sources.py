"""Where persons with part states come from: annotated images, as annotated or from keypoints by rule, and Kinetics-TPS."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from parsing.configs import Share, Table, config, nearest
from parsing.datasets import Problems
from parsing.datasets.coco import read_part_vocabulary
from parsing.datasets.image_folders import Further, ImageFolder, Split, all_folders
from parsing.datasets.kinetics_tps.annotations import part_names
from parsing.datasets.kinetics_tps.index import PersonIndex, build_index, extract_frames, frame_path
from parsing.datasets.records import ImageRecord, ObjectRecord, part_vocabulary, true_parts, true_states
from parsing.datasets.split import held, read_val_share
from parsing.document import read_parse
from parsing.errors import InputError
from parsing.pose import pose_vocabulary
from parsing.states.data import PlainCrops, StateCrops, StateTable
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, Groups, Vocabulary, read_list

log = logging.getLogger(__name__)


@config
class ImageStates:
    """Annotated images under `root`, and under further folders: annotations, and below `images` the pictures.

    Persons have parts with `states` as `parsing.datasets` reads them, or keypoints. Where no COCO category of `root` lists
    states, parts and states are those that follow from keypoints by `parsing.pose`; other formats say theirs by the annotated
    parts, which come in alphabetical order, and so do their states.

    Args:
        more: folders whose persons join those of `root`, in both splits: the names of those that are laid out like it, and
            of others their `root`, `format`, `train`, `val` and `images`.
        format: of the annotations: `coco`, `cvat`, `label_studio` or `parts_csv`.
        sources: image sources to train on; empty takes all.
        margin: what the rules do not know reaches this share of it further to both sides in training, where a joint that lies
            a little off would turn a state round (`parsing.pose.part_states`).
        vocabulary: name that the weights give to the parts and states of the categories.
        pairs: left and right parts; None pairs `left_x` with `right_x`.
    """

    root: str
    more: tuple[Further, ...] = ()
    format: Literal["coco", "cvat", "label_studio", "parts_csv"] = "coco"
    train: str = "annotations_train.json"
    val: str = "annotations_val.json"
    sources: tuple[str, ...] = ()
    margin: Annotated[float, Field(ge=0, le=10)] = 0.0
    vocabulary: str = "coco"
    pairs: tuple[tuple[str, str], ...] | None = None

    def own_vocabulary(self, actions: tuple[str, ...]) -> Vocabulary | None:
        """The parts and states that the training file's categories list, or its parts have; None where there is no state."""
        if self.format != "coco":
            return part_vocabulary(self._records("train"), self.vocabulary, actions, self.pairs)
        return read_part_vocabulary(Path(self.root) / self.train, self.vocabulary, actions, self.pairs)

    def table(self, split: Split, vocabulary: Vocabulary) -> StateTable:
        """Every person of whom a state is known."""
        records, training = self._records(split), split == "train"
        if training and self.sources:
            records = [record for record in records if record.source in self.sources]
        return _image_table(records, vocabulary, self.margin if training else 0.0)

    def _records(self, split: Split) -> list[ImageRecord]:
        folders = all_folders(ImageFolder(self.root, self.format, self.train, self.val), self.more)
        return [record for folder in folders for record in folder.read(split, Problems())]


@config
class KineticsTPSStates:
    """Annotations `<class>/<video>/…/img_%05d.json` with frames, or videos that they are taken from once.

    Args:
        root: folder that all others are relative to.
        annotations, frames, videos: folders of the training split. Frames that are not there yet are extracted into `frames`.
        val_annotations, val_frames, val_videos: of the validation split; where there are none, a share of the training
            videos is held out, which `parsing.datasets.split` says for all stages.
        states, classes: the data set's lists, a name a line; `parts.txt` beside them, if it is there, lists parts of one's own.
        vocabulary: name that the weights give to these labels.
    """

    root: str
    annotations: str = "train/annotations"
    frames: str = "train/frames"
    videos: str = "train/videos"
    val_annotations: str = "val/annotations"
    val_frames: str = "val/frames"
    val_videos: str = "val/videos"
    states: str = "part_stat.txt"
    classes: str = "classes.txt"
    vocabulary: str = "kinetics-tps"
    format: Literal["kinetics_tps"] = "kinetics_tps"

    def state_names(self) -> tuple[str, ...]:
        return read_list(Path(self.root) / self.states)

    def part_names(self) -> tuple[str, ...]:
        return part_names(Path(self.root))

    def action_names(self) -> tuple[str, ...]:
        return read_list(Path(self.root) / self.classes)

    def table(self, split: Split, vocabulary: Vocabulary) -> StateTable:
        """Every annotated person that has a part; all listed states of an annotated part are known, but for its `unknown` ones."""
        root = Path(self.root)
        has_val = bool(self.val_annotations) and (root / self.val_annotations).is_dir()
        own = has_val and split == "val"
        names = [getattr(self, ("val_" if own else "") + name) for name in ("annotations", "frames", "videos")]
        tree, frames, videos = (root / name for name in names)
        listed, parts = self.state_names(), self.part_names()
        index = build_index(tree, listed, tree.with_name(f"{tree.name}_index.npz"), parts)
        files = np.arange(len(index.files))
        if not has_val:
            share = read_val_share(root)
            held_out = np.array([held(index.video(int(i)), share) for i in files])
            files = files[held_out == (split == "val")]
        visible = _pick(index.visible, 1, parts, vocabulary.parts)
        rows = np.flatnonzero(np.isin(index.file_of, files) & visible.any(1))
        used = np.unique(index.file_of[rows]).tolist()
        for number, video in enumerate(extract_frames(index, frames, videos, used), 1):
            log.info("extracted frames of %s (%d videos so far)", video, number)
        return _annotated_table(index, rows, frames, listed, parts, vocabulary)


# Formats of annotated videos -> what reads them.
TRACKS: Table = {
    "kinetics_tps": "parsing.states.sources:KineticsTPSStates",
    "cvat": "parsing.states.sources:ImageStates",
    "label_studio": "parsing.states.sources:ImageStates",
}


@config
class StateDataConfig:
    """What the network learns from: either kind of source, or both joined.

    Args:
        images: annotated images. kinetics_tps: annotated frames of videos.
        actions: names of the recognizer's actions, in its order, that the network is conditioned on; empty takes
            those of the class list.
        action_scores: parses of the videos, whose actions tell what a recognizer says of them; the trainer's `doubt_rate`
            of the persons is given that instead of the truth. Without, such distributions are simulated.
        augment: random crops, turns, flips, colour and jittered boxes, or the plain crops.
        rotation_deg: of the turns, at most, to both sides.
        pose_rotation_deg: of persons whose states follow from keypoints, which tell the states of the turned person anew.
        balance: exponent on the inverse frequency of a person's rarest state when persons are drawn; 0 draws all alike.
        source_weights: how often persons of an image source, or of `kinetics_tps`, are drawn, relative to 1.
        exclusive: groups of a part's states of which one holds at most, by part; None takes those of the rules for poses where
            all states follow from these, and none elsewhere.
    """

    images: ImageStates | None = None
    kinetics_tps: KineticsTPSStates | None = None
    actions: tuple[str, ...] = ()
    action_scores: str = ""
    augment: bool = True
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    pose_rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    balance: Share = 0.5
    source_weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(default_factory=dict)
    exclusive: dict[str, Groups] | None = None

    def table(self, split: Split, vocabulary: Vocabulary) -> StateTable:
        """The persons of a split.

        Raises:
            InputError: no source, or no person in it.
        """
        sources = [source for source in (self.images, self.kinetics_tps) if source is not None]
        if not sources:
            raise InputError("data: name a source, images or kinetics_tps")
        table = StateTable.join([source.table(split, vocabulary) for source in sources])
        if not len(table):
            raise InputError(f"{' and '.join(source.root for source in sources)}: no person with part states in the {split} split")
        return self._with_predictions(table, vocabulary.actions) if self.action_scores else table

    def views(self, table: StateTable, vocabulary: Vocabulary, size: int, context: float) -> StateCrops | PlainCrops:
        """The crops that the network is trained on."""
        if not self.augment:
            return PlainCrops(table, size, context)
        margin = 0.0 if self.images is None else self.images.margin
        return StateCrops(table, vocabulary, size, context, self.rotation_deg, self.pose_rotation_deg, margin)

    def _with_predictions(self, table: StateTable, actions: Sequence[str]) -> StateTable:
        known = {Path(name).stem: scores for name, scores in read_action_scores(Path(self.action_scores)).items()}
        predicted = np.zeros_like(table.predicted)
        for i, video in enumerate(table.videos.tolist()):
            predicted[i] = [known.get(video, {}).get(action, 0.0) for action in actions]
        if not predicted.any():
            raise InputError(f"{self.action_scores}: holds no action of any video that is trained on")
        return replace(table, predicted=predicted)

    def vocabulary(self) -> Vocabulary:
        """Labels of the sources; a part can take the states that its category lists, its annotations show, or the rules know.

        Raises:
            InputError: `exclusive` names what is no part or no state of it.
        """
        found = self._labels()
        if self.exclusive is None:
            return found
        lacking = next((part for part in self.exclusive if part not in found.parts), None)
        if lacking is not None:
            raise InputError(f"data.exclusive: {lacking!r:.80}: unknown part; {nearest(lacking, found.parts)}")
        try:
            return replace(found, exclusive=tuple(self.exclusive.get(part, ()) for part in found.parts))
        except ValueError as error:
            raise InputError(f"data.exclusive: {error}") from None

    def _labels(self) -> Vocabulary:
        if self.kinetics_tps is None:
            own = None if self.images is None else self.images.own_vocabulary(self.actions)
            return own or pose_vocabulary(self.actions)
        tps = self.kinetics_tps
        states, parts, actions = tps.state_names(), tps.part_names(), self.actions or tps.action_names()
        every = Vocabulary(tps.vocabulary, parts, states, (states,) * len(parts), actions)
        seen = np.asarray(tps.table("train", every).holds.any(0))
        if self.images is not None:
            ruled = dict(zip(PART_NAMES, pose_vocabulary(()).part_states, strict=True))
            seen |= np.array([[state in ruled.get(part, ()) for state in states] for part in parts])
        return replace(every, part_states=tuple(tuple(name for name, used in zip(states, row, strict=True) if used) for row in seen))


def read_action_scores(folder: Path) -> dict[str, dict[str, float]]:
    """What the parses in a folder say of the actions of their videos, by the videos' names.

    Raises:
        InputError: there is no parse, or one cannot be read.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"{folder}: no parse (*.json) in this folder")
    scores = {}
    for file in files:
        parse = read_parse(file)
        scores[parse.facts.name] = parse.mean_action_scores
    return scores


def _image_table(records: Sequence[ImageRecord], vocabulary: Vocabulary, margin: float) -> StateTable:
    rows: list[tuple[Any, ...]] = []
    poses: list[ObjectRecord | None] = []
    for record in records:
        action = vocabulary.actions.index(record.action) if record.action in vocabulary.actions else -1
        for person in record.persons:
            boxes, visible, _ = true_parts(person, vocabulary.parts)
            holds, known = true_states(person, vocabulary.parts, vocabulary.states, margin)
            known &= visible[:, None]
            if known.any() and not person.crowd:
                boxes *= visible[:, None]
                place = (record.video or str(record.path), record.frame)
                rows.append((record.path, record.source, *place, person.xyxy, boxes, visible, holds, known, action))
                poses.append(None if any(part.states for part in person.parts) else person)
    paths, *columns = zip(*rows, strict=True) if rows else ((),) * 10
    p, s = vocabulary.allowed.shape
    shapes: tuple[tuple[Any, tuple[int, ...]], ...] = (
        (str, ()), (str, ()), (np.int64, ()), (np.float32, (4,)), (np.float32, (p, 4)), (bool, (p,)),
        (bool, (p, s)), (bool, (p, s)), (np.int64, ()),
    )  # fmt: skip
    arrays = [np.array(column, kind).reshape(-1, *shape) for column, (kind, shape) in zip(columns, shapes, strict=True)]
    unknown = np.zeros((len(rows), len(vocabulary.actions)), np.float32)  # no recognizer has seen these images
    posed = np.empty(len(rows), object)
    posed[:] = poses
    return StateTable(list(paths), *[*arrays, unknown, posed])


def _annotated_table(
    index: PersonIndex, rows: Array, frames: Path, listed: Sequence[str], parts: Sequence[str], vocabulary: Vocabulary
) -> StateTable:
    paths: dict[int, Path] = {}
    for file in np.unique(index.file_of[rows]).tolist():
        found = frame_path(frames, index.action(file), index.video(file), index.frame(file))
        paths[file] = found or frames
    files = index.file_of[rows].tolist()
    labels, actions = [index.action(file) for file in files], vocabulary.actions
    columns = (index.boxes, index.visible, index.holds, index.unknown)
    boxes, visible, holds, unknown = (_pick(column[rows], 1, parts, vocabulary.parts) for column in columns)
    listed_states = np.array([state in listed for state in vocabulary.states], bool)
    return StateTable(
        [paths[file] for file in files],
        np.full(len(rows), "kinetics_tps", dtype="<U12"),
        np.array([index.video(file) for file in files]),
        np.array([index.frame(file) for file in files], np.int64),
        index.person_xyxy[rows],
        boxes,
        visible,
        _pick(holds, 2, listed, vocabulary.states),
        visible[..., None] & listed_states & ~_pick(unknown, 2, listed, vocabulary.states),
        np.array([actions.index(label) if label in actions else -1 for label in labels]),
        np.zeros((len(rows), len(actions)), np.float32),
    )


def _pick(matrix: Array, axis: int, names: Sequence[str], wanted: Sequence[str]) -> Array:
    """The columns of the wanted names along an axis; zeros where a name is not there."""
    columns = np.array([names.index(name) if name in names else -1 for name in wanted], int)
    picked = np.moveaxis(np.take(matrix, columns, axis), axis, 0)
    picked[columns < 0] = 0
    return np.moveaxis(picked, 0, axis)
