"""The report in a real browser: it loads, plays, names what lies under the pointer, and asks nobody for anything.

Skipped where no Chromium is installed: Debian's, Google's, or the one of `playwright install chromium`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builders import VOCABULARY
from scenes import HOSTILE, hostile_vocabulary, person_frame, scene, write_clip

from parsing.types import ActionScore
from pipelines.report import build_parser, main

playwright = pytest.importorskip("playwright.sync_api")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS = 120_000  # of a machine that is busy
SECONDS = 4
PLACE = """([track, part, time]) => {
  const line = report.line, row = line.rows.find(r => r.kind === 'part' && r.track.track_id === track && r.title === part);
  line.box.scrollTop = Math.max(0, row.y - 60);
  line.canvas.scrollIntoView({block: 'center'});
  const box = line.canvas.getBoundingClientRect();
  return [box.left + line.x(time), box.top + row.y - line.box.scrollTop + 6];
}"""
UNNAMED = """[...document.querySelectorAll('button, input, select, canvas')]
  .filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with playwright.sync_playwright() as tool:
        if program is None and not Path(tool.chromium.executable_path).exists():
            pytest.skip("no Chromium is installed")
        started = tool.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=WAIT_MS)
        yield started
        started.close()


@dataclass
class Opened:
    """A page in the browser, with what it complained of and asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def do(self, script: str) -> Any:
        return self.page.evaluate(script)

    def until(self, condition: str) -> None:
        """Wait for it; Playwright's own way polls within the page, whose policy lets no text become code."""
        for _ in range(WAIT_MS // 50):
            if self.do(condition):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never came true: {condition}")

    def hover(self, track: int, part: str, time_s: float) -> str:
        """What the page says of a part's lane at a time."""
        place = self.page.evaluate(PLACE, [track, part, time_s])
        self.page.mouse.move(*place)
        return str(self.page.inner_text("#tip"))


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    contexts = []

    def open_page(path: Path, **options: Any) -> Opened:
        contexts.append(browser.new_context(**options))
        one = Opened(contexts[-1].new_page())
        one.page.set_default_timeout(WAIT_MS)
        one.page.on("console", lambda message: one.errors.append(message.text))
        one.page.on("pageerror", lambda error: one.errors.append(str(error)))
        one.page.on("request", lambda request: one.asked.append(request.url))
        one.page.goto(path.as_uri())
        one.page.wait_for_selector("html[data-media]", state="attached")
        return one

    yield open_page
    for context in contexts:
        context.close()


def make(folder: Path, *options: str, **changes: Any) -> Path:
    frames = [person_frame(i, [1, 2], changes.get("vocabulary", VOCABULARY)) for i in range(10 * SECONDS)]
    parse = scene(folder, frames, **changes)
    assert main(build_parser().parse_args([str(parse), "--out", str(folder / "r.html"), "--quiet", *options])) == 0
    return folder / "r.html"


def test_it_plays_and_names_the_state_under_the_pointer(opened: Any, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 10 * SECONDS)
    one = opened(make(tmp_path))
    assert one.do("document.documentElement.dataset.media") == "video"
    # The first state of a part holds in even seconds, the second in odd ones.
    assert one.hover(2, "left arm", 0.5).startswith("#2 · left arm · bend · 0:00.00 to 0:01.00 · 0.90")
    assert one.hover(2, "left arm", 1.5).startswith("#2 · left arm · unbend · 0:01.00 to 0:02.00")
    assert one.hover(1, "head", 2.5).startswith("#1 · head · upright · 0:02.00 to 0:03.00")
    one.page.click("#play")
    one.until("report.player.time > 0.3")
    one.do("report.player.playing && document.getElementById('play').click()")  # it may have come to its end by now
    assert one.do("report.player.video.paused")
    assert one.errors == []
    assert one.asked[0].endswith("/r.html")
    assert {url.rsplit("/", 1)[1] for url in one.asked} == {"r.html", "clip.mp4"}
    assert all(url.startswith("file:") for url in one.asked)


def test_the_keyboard_is_enough(opened: Any, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 10 * SECONDS)
    one = opened(make(tmp_path))
    one.page.focus("#line")
    one.page.keyboard.press("Shift+ArrowRight")
    one.page.keyboard.press("ArrowRight")
    assert one.do("report.player.time") == pytest.approx(1.1)
    one.page.keyboard.press("ArrowDown")
    assert "left arm unbend" in one.page.inner_text("#now")
    assert "left arm unbend" in one.page.get_attribute("#line", "aria-valuetext")
    rows = one.do("report.line.rows.length")
    one.page.keyboard.press("Enter")
    assert one.do("report.line.rows.length") == rows - 10
    one.page.keyboard.press("+")
    assert one.do("report.line.to - report.line.from") == pytest.approx(SECONDS / 2)
    one.page.keyboard.press("Space")
    one.until("report.player.time > 1.3")
    assert one.errors == []


def test_filters_and_tables_agree(opened: Any, tmp_path: Path) -> None:
    one = opened(make(tmp_path))
    assert one.do("document.documentElement.dataset.media") == "nothing"  # there is no video; boxes are drawn all the same
    assert "no video" in one.page.inner_text("#missing")
    one.page.click("#intervals summary")
    one.page.wait_for_selector("#intervals table")
    assert one.do("document.querySelectorAll('#intervals tbody tr').length") == 2 * 10 * SECONDS
    one.page.click("#part-filter button")
    one.page.get_by_label("left arm", exact=True).check()
    one.page.get_by_label("#2").uncheck()
    assert one.do("document.querySelectorAll('#intervals tbody tr').length") == SECONDS
    one.page.fill("#score", "0.95")
    assert one.do("document.querySelectorAll('#intervals tbody tr').length") == 0
    assert one.errors == []


def test_hostile_names_are_text_in_the_page(opened: Any, tmp_path: Path) -> None:
    page = make(tmp_path, name=HOSTILE, vocabulary=hostile_vocabulary(), actions=[ActionScore(HOSTILE, 0.5, 0, 1)], note=HOSTILE)
    one = opened(page)
    for details in ("totals", "track-table", "intervals", "actions-table", "models"):
        one.page.click(f"#{details} summary")
        one.page.wait_for_selector(f"#{details} table")
    assert "</script><img src=x onerror=alert(1)>" in one.page.inner_text("h1")
    assert one.do("document.querySelectorAll('img[src=x], [onerror]').length") == 0
    assert one.errors == []
    assert one.asked == [page.as_uri()]


def test_an_embedded_video_plays_and_the_page_alone_is_asked_for(opened: Any, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.avi", 10 * SECONDS, codec="mpeg4")
    one = opened(make(tmp_path, "--embed", name="clip.avi"))
    assert one.do("document.documentElement.dataset.media") == "video"
    assert [url for url in one.asked if not url.startswith("data:")] == [(tmp_path / "r.html").as_uri()]
    assert one.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_holds_all_of_it(opened: Any, tmp_path: Path, scheme: str) -> None:
    one = opened(make(tmp_path), viewport={"width": 360, "height": 700}, color_scheme=scheme)
    assert one.do("document.documentElement.scrollWidth") <= 360
    assert one.do(UNNAMED) == []
