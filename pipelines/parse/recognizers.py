"""The recognizers of a pipeline, for videos and for the crops of tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from parsing.errors import InputError
from parsing.stages import ActionRecognizer
from pipelines.parse.config import PipelineConfig
from recognizers.by_size import BySize, Route
from recognizers.ensemble import Ensemble
from recognizers.floor import Floored


def recognizers_by_size(settings: PipelineConfig, device: str) -> tuple[BySize, BySize]:
    """What sees videos, and what sees persons; both share their networks.

    Raises:
        InputError: recognizers know other actions than each other, or cannot be mixed.
    """
    members, low_res, tubes = _members(settings, device), settings.low_res, settings.track_actions
    small = None if low_res is None else low_res.build(device)
    of_videos = BySize(_mixed(members, settings), small, 0 if low_res is None else low_res.limit_px)
    if tubes is None or tubes.clips is None:
        return of_videos, of_videos
    from recognizers.video import VideoRecognizer  # late: with other recognizers its networks' libraries are not needed

    fewer = [member.with_clips(tubes.clips) if isinstance(member, VideoRecognizer) else member for member in members]
    return of_videos, replace(of_videos, large=_mixed(fewer, settings))


def _members(settings: PipelineConfig, device: str) -> list[ActionRecognizer]:
    members: list[ActionRecognizer] = [entry.recognizer.build(device) for entry in settings.recognizers]
    margin = settings.early_exit_margin
    for member in members:
        if member.action_names != members[0].action_names:
            odd = sorted(set(member.action_names) ^ set(members[0].action_names)) or ["their order"]
            names = f"{members[0].models[0].name!r} and {member.models[0].name!r}"
            raise InputError(f"recognizers {names} differ in their actions: {', '.join(odd):.300}")
        if member.multi_label != members[0].multi_label:
            raise InputError("recognizers: some are single-label and some multi-label, expected one kind")
    if members and members[0].multi_label and margin is not None:
        raise InputError(f"early_exit_margin: {margin} for multi-label recognizers, expected none: no action leads among them")
    return members


def _mixed(members: Sequence[ActionRecognizer], settings: PipelineConfig) -> Route | None:
    if not members:
        return None
    mixed: ActionRecognizer = Ensemble(members, [entry.weight for entry in settings.recognizers], settings.early_exit_margin)
    floor = settings.action_floor
    return Route("recognizers", mixed if floor is None else Floored(mixed, floor), settings.windows)
