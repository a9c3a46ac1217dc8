"""The configuration that `tritonize config` writes is the one that the real server completes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tests.support.tiny_onnx import BOOL, DOUBLE, FLOAT, FLOAT16, INT64, STRING
from tritonize.triton import client
from tritonize.triton.server import embedded
from tritonize.workflows import completed_config

pytestmark = pytest.mark.server

MODELS = {
    "batched": tiny_onnx.identity([("X", FLOAT, ["b", 3, "h"])], [("Y", FLOAT, ["b", 3, "h"])]),
    "fixed": tiny_onnx.identity([("X", FLOAT, [2, 3])], [("Y", FLOAT, [2, 3])]),
    "one_fixed": tiny_onnx.identity([("X", FLOAT16, ["b", 3]), ("N", INT64, [1])], [("Y", FLOAT16, ["b", 3]), ("M", INT64, [1])]),
    "scalar": tiny_onnx.identity([("X", DOUBLE, [])], [("Y", DOUBLE, [])]),
    "one_number_each": tiny_onnx.identity([("x:0", BOOL, ["b"])], [("y/1", BOOL, ["b"])]),
    "text": tiny_onnx.identity([("words", STRING, ["b", "n"])], [("same", STRING, ["b", "n"])]),
}


def served(root: Path, directory: Path, *, complete: bool) -> Mapping[str, object]:
    """The configuration of every model as the server reports it."""
    with embedded.start(root, directory=directory, complete=complete) as running, client.connect_to(running, "grpc") as connection:
        return {name: connection.model_config(name) for name in MODELS}


def test_it_is_what_the_server_completes_field_by_field(tmp_path: Path) -> None:
    for name, content in MODELS.items():
        file = tmp_path / "completed" / name / "1" / "model.onnx"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        own = tmp_path / "written" / name
        (own / "1").mkdir(parents=True)
        (own / "1/model.onnx").write_bytes(content)
        (own / "config.pbtxt").write_text(completed_config.text(own / "1/model.onnx"))
    written = served(tmp_path / "written", tmp_path / "a", complete=False)
    completed = served(tmp_path / "completed", tmp_path / "b", complete=True)
    assert written == completed
