"""`partwise list` and `partwise doctor`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parsing.errors import InputError
from pipelines import doctor, listing
from pipelines.exporters import EXPORTERS


def listed(*words: str) -> int:
    return listing.main(listing.build_parser().parse_args(list(words)))


def test_list_imports_no_network() -> None:
    run = "import pipelines.listing as listing; listing.main(listing.build_parser().parse_args([]))"
    code = f"import sys; {run}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.splitlines()[-1] == "False"
    assert "cascade_rcnn" in done.stdout


def test_list_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed("exporters") == 0
    assert capsys.readouterr().out.split() == ["exporters:", *EXPORTERS]
    assert listed("weights") == 0
    assert "missing" not in capsys.readouterr().out


def test_list_of_no_kind_that_is_known() -> None:
    with pytest.raises(InputError, match="'exporters'"):
        listed("exporter")


def test_doctor_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: {"parsing": ["partwise", "other"], "detectors": ["partwise"]})
    monkeypatch.setattr(doctor, "CODECS", ("h264", "no_such_codec"))
    assert doctor.main(doctor.build_parser().parse_args([])) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("!")]
    assert [line.split()[1] for line in wrong] == ["decoders", "cache", "parsing"]
    assert "no_such_codec" in wrong[0]
    assert "other" in wrong[2]


def test_doctor_makes_a_cache_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "new"))
    found = doctor.Findings()
    doctor.check_files(found)
    assert found.problems == 0
    assert "can be written" in capsys.readouterr().out


def test_extras_say_what_they_would_add(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=2", "pytest>=8 ; extra == 'dev'", 'no-such-thing[a]>=1; extra == "more"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: lines)

    class Package:
        def get_all(self, _: str) -> list[str]:
            return ["dev", "more"]

    monkeypatch.setattr(doctor.metadata, "metadata", lambda _: Package())
    assert list(doctor.extras()) == [("dev", []), ("more", ["no-such-thing"])]
