from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from parsing.configs import Choice, config, override, parse_config, read_yaml, resolve
from parsing.errors import InputError

TABLE = {"bytetrack": "detectors.trackers:ByteTrackConfig", "cascade_rcnn": "detectors.persons:PersonDetectorConfig"}


@config
class Inner:
    width: int = 1


@config
class Outer:
    name: Literal["outer"]
    inner: Inner
    rates: tuple[float, ...] = ()


def test_nested_values_are_typed() -> None:
    parsed = parse_config(Outer, {"name": "outer", "inner": {"width": 3}, "rates": [1, 2.5]}, "f.yaml")
    assert parsed.inner.width == 3
    assert parsed.rates == (1.0, 2.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "outer", "inner": {"widht": 3}}, r"f.yaml: unknown key 'inner.widht'; did you mean 'width'\?"),
        ({"name": "outer", "inner": {"width": "many"}}, r"inner.width: .*integer.*many"),
        ({"name": "outer"}, r"f.yaml: inner: "),
        ({"name": "outer", "inner": {}, "rate": 1}, r"unknown key 'rate'; did you mean 'rates'\?"),
        (3, r"f.yaml: "),
    ],
)
def test_what_does_not_fit_is_named(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_config(Outer, value, "f.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "bytetrak"}, r"unknown name 'bytetrak'; did you mean 'bytetrack'\?"),
        ({"name": "os:system"}, "unknown name"),
        ("bytetrack", "expected a mapping with a name"),
        ({"name": "bytetrack", "lost": 3}, r"unknown key 'lost'; did you mean 'lost_s'\?"),
        ({"name": "bytetrack", "lost_s": -1}, "lost_s"),
    ],
)
def test_components_come_from_a_closed_table(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(TABLE, value, "tracker")


@config
class Outline:
    name: str
    shape: Annotated[object, Choice({"inner": f"{__name__}:Inner"}, "name")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "inner", "shape": {"widht": 3}}, r"^f\.yaml: unknown key 'shape\.widht'; did you mean 'width'\?"),
        ({"name": "inner", "shape": {"width": "many"}}, r"^f\.yaml: shape\.width: .*integer.*'many'"),
        ({"name": "inner", "shape": 3}, r"^f\.yaml: shape: .*\(found 3\)"),
        ({"name": "iner", "shape": {}}, r"^f\.yaml: shape: unknown name 'iner'; did you mean 'inner'\?"),
        ({"name": 3, "shape": {}}, r"^f\.yaml: name: .*string.*\(found 3\)"),
    ],
)
def test_a_field_may_be_chosen_by_its_sibling(value: Any, message: str) -> None:
    assert parse_config(Outline, {"name": "inner", "shape": {"width": 2}}, "f.yaml").shape == Inner(2)
    with pytest.raises(InputError, match=message):
        parse_config(Outline, value, "f.yaml")


def test_yaml_tags_do_not_execute(tmp_path: Path) -> None:
    evil, proof = tmp_path / "evil.yaml", tmp_path / "proof"
    evil.write_text(f"name: !!python/object/apply:os.system ['touch {proof}']")
    with pytest.raises(InputError, match=r"evil\.yaml: not readable as YAML"):
        read_yaml(evil)
    assert not proof.exists()


@pytest.mark.parametrize("content", ["", "- 1", "text", "a: [", "\x00"])
def test_yaml_must_be_a_mapping(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"c\.yaml"):
        read_yaml(path)


def test_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        read_yaml(tmp_path / "none.yaml")


def test_overrides_reach_into_lists_and_leave_the_source_alone() -> None:
    source = {"a": {"b": 1}, "c": [{"d": 2}]}
    assert override(source, ["a.b=5", "c.0.d=[1, 2]"]) == {"a": {"b": 5}, "c": [{"d": [1, 2]}]}
    assert source == {"a": {"b": 1}, "c": [{"d": 2}]}


@pytest.mark.parametrize("assignment", ["a", "=3", "x.b=1", "a.b.c=1", "c.7.d=1", "a.b=[1"])
def test_overrides_that_lead_nowhere_are_refused(assignment: str) -> None:
    with pytest.raises(InputError, match="--set"):
        override({"a": {"b": 1}, "c": [{"d": 2}]}, [assignment])
