"""The actions of a whole video over time, window after window."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from parsing.media.sources import Source
from parsing.tracks import Tracklet
from parsing.types import ActionScores, ActionWindow, Array, Branch, Frame, ModelFacts
from recognizers.by_size import Route
from recognizers.clips.test_views import with_short_side
from recognizers.windows import Timeline, Window, Windows, recognize

Mixer = Callable[[Sequence[Tracklet], ActionScores | None], ActionScores]


class VideoActions:
    """What a video shows: `timeline.actions` are what holds, `windows` the probabilities of each window.

    `recognized` are the windows as the recognizers saw them, which part states are conditioned on; those of `windows` may
    be mixed with what the parts of the persons say later.

    Args:
        route: None leaves the video without actions.
    """

    def __init__(self, route: Route | None) -> None:
        self.route = route
        self.recognized: list[ActionWindow] = []  # in order of time, as the following
        self._windows: list[tuple[ActionWindow, ActionScores]] = []
        self._places: dict[float, int] = {}  # of windows, by their beginning
        self._names: Sequence[str] = ()
        self._timeline = Timeline()
        self._noted = 0  # windows that the timeline holds
        self._settled = 0, self._timeline.mark()  # windows up to the last mixed one, and the timeline after it
        self._is_read = False
        self.used: set[tuple[Branch, ModelFacts]] = set()

    def read(self, source: Source) -> None:
        """Recognize a source before it is parsed; afterwards everything is known. A source that is read once is left to `watch`.

        A video of one window gives the frames that its recognizer wants at once. Of a longer one, whose windows may
        overlap, every frame is seen once and in order.
        """
        facts, num_frames = source.facts, source.num_frames
        if self.route is None or num_frames is None:
            return
        self._is_read = True
        if num_frames < self.route.recognizer.least_frames:
            return
        if num_frames == 1 or 0 < facts.duration_s <= self.route.windows.window_s:
            recognizer = self.route.recognizer
            frames = source.at(recognizer.indices(num_frames).tolist())
            self._note(self.route, recognizer(frames, num_frames), 0.0, facts.duration_s)
            return
        for _ in self._recognized(self.route, source.frames()):
            pass

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Pass frames on, and recognize each window when its last frame has come, unless `read` has done so."""
        return iter(frames) if self.route is None or self._is_read else self._recognized(self.route, frames)

    def _recognized(self, route: Route, frames: Iterable[Frame]) -> Iterator[Frame]:
        options, least, end_s = route.windows, route.recognizer.least_frames, 0.0
        windows = Windows[Frame](options.window_s, options.every_s, options.most_frames, least_items=least)
        for frame in frames:
            end_s = frame.time_s
            self._recognize(route, windows.add(frame.time_s, _shrunk(frame, options.most_px)))
            yield frame
        self._recognize(route, windows.finish(end_s))

    def at(self, time_s: float) -> Array | None:
        """(A,) distribution that the part states of a frame are conditioned on.

        It is that of the window whose middle lies nearest among those known so far: of a file the one around the frame,
        of a source that is read once the latest complete one. None where there is none yet, and where several actions
        may hold at once, as in the low-resolution branch.
        """
        if self.route is None or self.route.recognizer.multi_label or not self.recognized:
            return None
        place = bisect(self.recognized, 2 * time_s, key=lambda window: window.start_s + window.end_s)
        around = self.recognized[max(0, place - 1) : place + 1]
        return min(reversed(around), key=lambda window: abs(window.start_s + window.end_s - 2 * time_s)).probabilities

    @property
    def windows(self) -> list[ActionWindow]:
        """In order of time."""
        return [window for window, _ in self._windows]

    @property
    def timeline(self) -> Timeline:
        """Of all windows known so far."""
        self._note_up_to(len(self._windows))
        return self._timeline

    def mix(self, persons: Sequence[Tracklet], mixer: Mixer, names: Sequence[str], start_s: float, end_s: float) -> None:
        """Mix what the persons of a window say by their parts into it; without recognizers it is theirs alone.

        A window that was too short for the recognizers has no action, with or without parts. Windows come in order of time.

        Args:
            names: of the actions, which are the recognizers' too.
        """
        place = self._places.get(round(start_s, 6))
        if place is None and self.route is not None:
            return
        window, recognized = (None, None) if place is None else self._windows[place]
        scores = mixer(persons, recognized)
        mixed = ActionWindow(start_s, end_s if window is None else window.end_s, scores.probabilities)
        self._names = names
        if place is None:
            place = len(self._windows)
            self._keep(mixed, scores)
        else:
            self._windows[place] = mixed, scores
            self._use(mixed, scores)
        self._settle(place)

    def _settle(self, place: int) -> None:
        """Note the windows up to a place for good.

        Those behind it may be mixed later, so they wait until the timeline is asked for: a window costs the same however
        many there are.
        """
        self._noted, mark = self._settled
        self._timeline.back_to(mark)
        self._note_up_to(place + 1)
        self._settled = self._noted, self._timeline.mark()

    def _note_up_to(self, place: int) -> None:
        for i in range(self._noted, place):
            window, scores = self._windows[i]
            self._timeline.add(scores, self._names, window.start_s, window.end_s, window.branch)
        self._noted = max(self._noted, place)

    def _recognize(self, route: Route, windows: Iterable[Window[Frame]]) -> None:
        for window in windows:
            self._note(route, recognize(route.recognizer, window.items), window.start_s, window.end_s)

    def _note(self, route: Route, scores: ActionScores, start_s: float, end_s: float) -> None:
        window = ActionWindow(start_s, end_s, scores.probabilities, route.branch)
        self._names = route.recognizer.action_names
        self.recognized.append(window)
        self._keep(window, scores)

    def _keep(self, window: ActionWindow, scores: ActionScores) -> None:
        self._places[round(window.start_s, 6)] = len(self._windows)
        self._windows.append((window, scores))
        self._use(window, scores)

    def _use(self, window: ActionWindow, scores: ActionScores) -> None:
        self.used |= {(window.branch, model) for model in scores.models}


def _shrunk(frame: Frame, short_px: int) -> Frame:
    return replace(frame, image=with_short_side(frame.image, short_px)) if min(frame.image_hw) > short_px else frame
