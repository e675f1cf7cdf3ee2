from pathlib import Path

from parsing.document import json_schema
from parsing.schema_document import markdown


def test_docs_parse_md_is_up_to_date_and_names_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs/parse.md").read_text()
    assert text == markdown(), "run: python -m parsing.schema_document > docs/parse.md"
    for name, entry in json_schema()["$defs"].items():
        assert f"## {name}\n" in text
        assert all(f"| `{field}` |" in text for field in entry["properties"])
