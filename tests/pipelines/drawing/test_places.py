import pytest

from pipelines.drawing.places import Places, Rectangle
from pipelines.drawing.text import fitted, text_width

IMAGE_WH = 640, 480


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def inside(place: Rectangle) -> bool:
    return 0 <= place[0] < place[2] <= IMAGE_WH[0] and 0 <= place[1] < place[3] <= IMAGE_WH[1]


@pytest.mark.parametrize(
    "person", [(250, 100, 350, 400), (0, 0, 100, 300), (600, 0, 640, 480), (0, 300, 640, 480), (-50, -50, 30, 30), (300, 100, 700, 600)]
)
def test_a_label_covers_nobody_where_there_is_room(person: Rectangle) -> None:
    places = Places(IMAGE_WH)
    others = [(400, 50, 480, 460), (60, 300, 120, 460)]
    places.begin([person, *others], [(0, 440, 640, 480)])
    place = places.take((110, 90), person, 1, only_free=True)
    assert place is not None
    assert inside(place)
    assert not any(overlap(place, other) for other in (person, *others, (0, 440, 640, 480)))


def test_labels_do_not_cover_each_other() -> None:
    places, persons = Places(IMAGE_WH), [(100 + 60 * i, 100, 150 + 60 * i, 300) for i in range(6)]
    places.begin(persons)
    found = [places.take((80, 60), person, i, only_free=True) for i, person in enumerate(persons)]
    taken = [place for place in found if place is not None]
    assert len(taken) == 6
    assert not any(overlap(a, b) for i, a in enumerate(taken) for b in (*taken[:i], *persons))


def test_without_room_there_is_none_unless_a_person_may_be_covered() -> None:
    places, everywhere = Places(IMAGE_WH), (0, 0, *IMAGE_WH)
    places.begin([everywhere])
    assert places.take((100, 100), everywhere, 1, only_free=True) is None
    place = places.take((100, 100), everywhere, 1, only_free=False)
    assert place is not None
    assert inside(place)
    assert places.take((700, 100), everywhere, 1, only_free=False) is None  # wider than the picture


def test_a_label_keeps_its_side_while_there_is_room() -> None:
    places = Places(IMAGE_WH)
    sides = []
    for step in range(12):
        left = 480 - 12 * step  # from where there is more room on the left to where there is more on the right
        places.begin([(left, 100, left + 100, 400)])
        place = places.take((120, 100), (left, 100, left + 100, 400), 7, only_free=True)
        assert place is not None
        sides.append("left" if place[2] <= left else "right" if place[0] >= left + 100 else "else")
    assert set(sides) == {"left"}


def test_text_is_cut_to_a_width() -> None:
    assert fitted("walk", 400, 12) == "walk"
    short = fitted("a long name of an action", 60, 12)
    assert short.endswith("…")
    assert text_width(short, 12) <= 60
    assert fitted("walk", 1, 12) == ""
