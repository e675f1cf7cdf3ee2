"""Times of frames."""

from __future__ import annotations


class Clock:
    """Seconds since the first frame; frames without a time of their own, or with one that goes back, follow at the mean rate.

    Args:
        time_base_s: seconds of one unit of the stream's timestamps.
        fps: frames a second; 0 where it is not known.
    """

    def __init__(self, time_base_s: float, fps: float) -> None:
        self.time_base_s, self.step_s = time_base_s, 1 / fps if fps > 0 else 0.04
        self.first: int | None = None
        self.now_s = -1.0

    def read(self, pts: int | None) -> float:
        """The time of the next frame, whose timestamp is `pts`."""
        if pts is not None and self.first is None:
            self.first = pts
        time_s = (pts - self.first) * self.time_base_s if pts is not None and self.first is not None else -1.0
        follows = time_s > self.now_s if self.now_s >= 0 else time_s >= 0
        self.now_s = time_s if follows else max(0.0, self.now_s + self.step_s)
        return self.now_s
