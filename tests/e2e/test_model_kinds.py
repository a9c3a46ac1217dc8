"""`verify` on models of every kind: the published one passes, and a server with another model of the same form does not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.support import onnx_versions, server_models
from tritonize.core import arrays
from tritonize.core.reports import Report
from tritonize.quality import golden_set
from tritonize.triton import serving, weight
from tritonize.triton.server.embedded import Running
from tritonize.workflows import verify as verify_workflow

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("model_kinds")]


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.1))


class Served(NamedTuple):
    """A repository, a server that serves it, and a server with other models of the same names."""

    root: Path
    server: Running
    wrong: Running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kinds")
    root, wrong = folder / "models", folder / "wrong"
    words(root, folder)
    animals(root, folder)
    offset(root, folder)
    totals(root, folder)
    shutil.copytree(root, wrong)
    words_of({"good": "goof"}, wrong / "words/1/model.onnx")
    totals_of_all(wrong / "totals/1/model.onnx")
    server_models.overridable(wrong / "offset/1/model.onnx", np.array([10, 20, 31], np.float32))
    (file,) = (wrong / "animals").glob("labels_scores.*.txt")
    file.write_text(LABELS.replace("emu", "?").replace("fox", "emu").replace("?", "fox"))
    with (
        serving.serve(root, directory=folder / "server") as server,
        serving.serve(wrong, directory=folder / "other") as other,
    ):
        yield Served(root, server, other)


def verified(root: Path, server: Running, model: str) -> Report:
    urls = [f"http://{server.http_url}", f"grpc://{server.grpc_url}"]
    return verify_workflow.verify(verify_workflow.Request(repository=root, urls=urls, models=(model,)))[0]


LABELS = "ant\nbee\ncat: a tame one\n\nemu\nfox\n"


def animals(root: Path, folder: Path) -> None:
    """Scores of six classes, of which the fourth has no label."""
    weights = np.random.default_rng(0).standard_normal((5, 6), dtype=np.float32)
    values = [("x", TensorProto.FLOAT, ["batch", 5])], [("scores", TensorProto.FLOAT, ["batch", 6])]
    file = onnx_versions.graph(
        folder / "animals.onnx", [helper.make_node("MatMul", ["x", "w"], ["scores"])], values, {"w": weights}
    )
    given = {"inputs": {"x": {"shape": ["batch", 5]}}, "max_batch_size": 4, "samples": {"count": 6}}
    onnx_versions.publish(root, "animals", file, labels={"scores": LABELS}, **given)


def offset(root: Path, folder: Path) -> None:
    """X + W, where W has a value in the file, which a request may replace."""
    inputs = {"X": {"shape": ["n", 3]}, "W": {"shape": [3], "optional": True}}
    given = {"inputs": inputs, "axes": {"n": {"max": 4}}, "samples": {"count": 3}}
    onnx_versions.publish(root, "offset", server_models.overridable(folder / "offset.onnx"), **given)


def totals(root: Path, folder: Path) -> None:
    """The sum of each request's elements, of requests of different lengths in one batch."""
    made = {"kind": "BATCH_ACCUMULATED_ELEMENT_COUNT", "target_name": ["ENDS"], "data_type": "TYPE_INT32", "source_input": ["X"]}
    given = {
        "inputs": {"X": {"shape": ["batch", "n"], "ragged": True}},
        "axes": {"n": {"max": 9}},
        "max_batch_size": 8,
        "samples": {"count": 6},
        "triton": {"batch_input": [made], "dynamic_batching": {"max_queue_delay_microseconds": 2000}},
    }
    onnx_versions.publish(root, "totals", server_models.ragged_sum(folder / "totals.onnx"), **given)


def totals_of_all(path: Path) -> None:
    """A file of the same form that is right for a request alone, and counts the elements before it in a batch."""
    nodes = [
        helper.make_node("CumSum", ["X", "AXIS"], ["SUMS"]),
        helper.make_node("Sub", ["ENDS", "ONE"], ["LAST"]),
        helper.make_node("Gather", ["SUMS", "LAST"], ["TOTALS"]),
        helper.make_node("Unsqueeze", ["TOTALS", "SECOND"], ["SUM"]),
    ]
    values = [("X", TensorProto.FLOAT, ["n"]), ("ENDS", TensorProto.INT32, ["batch"])], [("SUM", TensorProto.FLOAT, ["batch", 1])]
    constants = {"ONE": np.ones(1, np.int32), "AXIS": np.array(0, np.int64), "SECOND": np.ones(1, np.int64)}
    onnx_versions.graph(path, nodes, values, constants)


TEXTS = ["good", "bad", "", "grüße 🙂", "ends with NUL\0", "long " * 40_000]


def words_of(replaced: dict[str, str], path: Path) -> None:
    """A file that returns its texts, except those that it replaces, and the texts whose number it knows."""
    encoder = {"domain": "ai.onnx.ml", "keys_strings": list(replaced)}
    nodes = [
        helper.make_node("LabelEncoder", ["words"], ["ids"], values_int64s=[1] * len(replaced), default_int64=0, **encoder),
        helper.make_node("Identity", ["words"], ["echo"])
        if replaced == {"good": "good"}
        else helper.make_node("LabelEncoder", ["words"], ["echo"], values_strings=list(replaced.values()), **encoder),
    ]
    kinds = {"words": TensorProto.STRING, "ids": TensorProto.INT64, "echo": TensorProto.STRING}
    first, *others = [(name, kind, ["batch", 1]) for name, kind in kinds.items()]
    onnx_versions.graph(path, nodes, ([first], others))


def words(root: Path, folder: Path) -> None:
    words_of({"good": "good"}, folder / "words.onnx")
    (folder / "words.json").write_text(json.dumps({"words": [[each] for each in TEXTS]}))
    inputs = {"words": {"dtype": "string", "shape": ["batch", 1]}}
    given = {"inputs": inputs, "max_batch_size": 4, "samples": {"files": str(folder / "words.json")}}
    onnx_versions.publish(root, "words", folder / "words.onnx", **given)


def test_an_optional_input_is_left_out_over_both_protocols(served: Served) -> None:
    report = verified(served.root, served.server, "offset")
    assert report.verdict == "passed", report.findings
    omitted = {(str(check.stage), check.samples) for check in report.checks if check.samples in ((4,), (5,))}
    assert omitted >= {("http", (4,)), ("http", (5,)), ("grpc", (4,)), ("grpc", (5,))}


def test_a_server_with_another_default_is_found_by_these_requests_alone(served: Served) -> None:
    report = verified(served.root, served.wrong, "offset")
    assert report.verdict == "failed"
    failed = [check for check in report.checks if not check.passed]
    assert {check.samples for check in failed} == {(4,), (5,)}
    assert {"http", "grpc"} <= {str(check.stage) for check in failed}


def test_requests_of_different_lengths_are_joined_and_compared(served: Served) -> None:
    report = verified(served.root, served.server, "totals")
    assert report.verdict == "passed", [(each.name, each.note) for each in report.stages]
    inputs = golden_set.read(served.root / "totals/1/evidence/golden").samples.files
    lengths = {arrays.load(inputs, index)["X"].shape for index in range(6)}
    assert len(lengths) > 1
    (stage,) = (each for each in report.stages if each.name == "concurrent")
    assert stage.verdict == "passed", stage.note


def test_a_server_that_mixes_ragged_requests_up_is_found_by_concurrent_clients_alone(served: Served) -> None:
    report = verified(served.root, served.wrong, "totals")
    assert report.verdict == "failed"
    assert {str(check.stage) for check in report.checks if not check.passed} == {"concurrent"}


def test_the_top_classes_are_compared_over_both_protocols(served: Served) -> None:
    report = verified(served.root, served.server, "animals")
    assert report.verdict == "passed", report.findings
    (stage,) = (each for each in report.stages if each.name == "classification")
    # Of each protocol: all 6 classes of the first sample, 5 of three others and of each of the 4 in a batch.
    assert (stage.verdict, stage.note) == ("passed", "82 classes of scores")


def test_labels_that_were_swapped_on_the_server_are_found(served: Served) -> None:
    report = verified(served.root, served.wrong, "animals")
    assert report.verdict == "failed"
    assert report.findings == ()
    failed = [check for check in report.checks if not check.passed]
    assert {str(check.stage) for check in failed} == {"classification"}
    assert re.search(
        r"classes differ; the first one: '\S+:(4:fox|5:emu)' instead of '\S+:(4:emu|5:fox)' at rank", failed[0].tensors[0].reason
    )


def test_text_of_every_kind_is_compared_exactly(served: Served) -> None:
    report = verified(served.root, served.server, "words")
    assert report.verdict == "passed", report.findings
    assert {"http", "grpc", "concurrent"} <= {str(check.stage) for check in report.checks}
    kept = golden_set.read(served.root / "words/1/evidence/golden")
    assert [arrays.load(kept.expected, index)["echo"].item() for index in range(len(TEXTS))] == TEXTS


def test_a_server_that_changes_a_text_is_found(served: Served) -> None:
    report = verified(served.root, served.wrong, "words")
    assert report.verdict == "failed"
    reasons = {tensor.reason for check in report.checks for tensor in check.tensors if not tensor.passed}
    assert "1 of 1 strings differ; the first one, at [0, 0], is 'goof' instead of 'good'" in reasons
