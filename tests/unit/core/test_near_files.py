"""A path that does not exist: near names in its folder, its nearest existing parent, the same name elsewhere, and bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize.core import near_files
from tritonize.core.near_files import missing


@pytest.fixture(autouse=True)
def tree() -> None:
    for name in ("examples/heart/heart.yaml", "examples/heart/heart.pt", "examples/first/first.yaml", ".hidden/secret.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("examples/heart/hart.yaml", ["examples/heart/heart.yaml"]),
        ("examples/heart/HEART.YAML", ["examples/heart/heart.yaml"]),
        ("example/heart/heart.yaml", ["examples/heart/heart.yaml"]),
        ("exampels/haert/heart.yml", ["examples/heart/heart.yaml"]),
        ("heart.yaml", ["examples/heart/heart.yaml"]),
        ("elsewhere/first.yaml", ["examples/first/first.yaml"]),
        ("secret.yaml", []),
        ("nothing.yaml", []),
    ],
)
def test_what_a_path_may_mean(path, near):
    meant = missing(path, suffixes=(".yaml", ".yml")).meant
    assert list(meant.near if meant else ()) == near


def test_an_absolute_path_gets_an_absolute_one():
    meant = missing(Path.cwd() / "examples/heart/hart.yaml").meant
    assert meant.near[0] == str(Path.cwd() / "examples/heart/heart.yaml")


def test_what_is_there_is_said():
    assert missing("examples/lung/x.yaml").found == "no folder examples/lung; examples has first, heart"
    assert missing("examples/hart/heart.yaml").found == "no folder examples/hart"
    assert missing("examples/heart/x.onnx", suffixes=(".onnx",)).found == "examples/heart has no .onnx file"
    assert missing("examples/heart/x.onnx").found == "examples/heart has heart.pt, heart.yaml"
    assert missing("exmples", folder=True).meant.near == ("examples",)


def test_the_search_ends_after_a_number_of_entries(monkeypatch):
    monkeypatch.setattr(near_files, "MOST_ENTRIES", 1)
    assert missing("first.yaml").meant is None


def test_no_link_to_a_folder_is_followed():
    Path("circle").symlink_to(".")
    Path("far").symlink_to("examples/heart")
    assert missing("heart.pt").meant.near == ("examples/heart/heart.pt",)


def test_a_file_in_the_place_of_a_folder_is_no_bug():
    assert missing("examples/heart/heart.pt/x.yaml").found == "no folder examples/heart/heart.pt"
