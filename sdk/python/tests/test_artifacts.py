import csv
import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lynx_sdk import ConfigError, output_dir, write_csv, write_json


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "made" / "output"
    monkeypatch.setenv("TETRYX_OUTPUT_DIR", str(path))
    return path


def test_the_directory_is_made(output: Path) -> None:
    assert output_dir() == output
    assert output.is_dir()


def test_without_the_variable_it_is_named() -> None:
    with pytest.raises(ConfigError, match="TETRYX_OUTPUT_DIR is not set"):
        output_dir()


def test_json_keeps_full_precision_and_converts_numpy(output: Path) -> None:
    document = {"a": 0.1 + 0.2, "b": np.float64(math.pi), "c": np.arange(3), "d": np.bool_(True)}
    assert write_json("deep/summary.json", document) == output / "deep/summary.json"
    assert json.loads((output / "deep/summary.json").read_text()) == {
        "a": 0.1 + 0.2,
        "b": math.pi,
        "c": [0, 1, 2],
        "d": True,
    }


def test_csv_keeps_full_precision(output: Path) -> None:
    values = [0.1 + 0.2, 1e-300, -1 / 3, 123456789012345.678]
    rows = [[value, np.float64(value), 7] for value in values]
    write_csv("t.csv", ("a", "b", "c"), rows)
    with (output / "t.csv").open(newline="") as file:
        header, *read = csv.reader(file)
    assert header == ["a", "b", "c"]
    assert [[float(a), float(b), int(c)] for a, b, c in read] == rows
    assert b"\r" not in (output / "t.csv").read_bytes()


@pytest.mark.parametrize("bad", [math.nan, math.inf, object()])
def test_what_json_cannot_say_is_refused_and_leaves_nothing(output: Path, bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        write_json("summary.json", {"x": bad})
    assert not output.exists()


def test_a_file_appears_whole_or_not_at_all(output: Path) -> None:
    def rows() -> Iterator[list[int]]:
        yield [1]
        raise RuntimeError("in the middle")

    write_csv("t.csv", ["a"], [[0]])
    with pytest.raises(RuntimeError):
        write_csv("t.csv", ["a"], rows())
    with pytest.raises(ValueError, match="a row has 2 values, the header 1"):
        write_csv("t.csv", ["a"], [[1, 2]])
    assert [path.name for path in output.iterdir()] == ["t.csv"]
    assert (output / "t.csv").read_text() == "a\n0\n"


def test_files_are_readable_by_others(output: Path) -> None:
    write_json("a.json", {})
    assert stat.S_IMODE((output / "a.json").stat().st_mode) == 0o644


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize("name", ["../a.json", "/tmp/a.json", "", "a/../../b.json"])
def test_names_stay_inside_the_directory(name: str) -> None:
    with pytest.raises(ValueError, match="not a name inside"):
        write_json(name, {})
