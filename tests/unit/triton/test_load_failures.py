"""The tables of load failures: each row explains the message of its source, and an unknown message is passed on."""

from __future__ import annotations

import http
import re
from pathlib import Path

import pytest

from tests.support.load_failure_lines import LINES
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as client_messages
from tritonize.triton import remote
from tritonize.triton.load_failures import lookup
from tritonize.triton.server import log, readiness

ROWS = {row.code: row for row in lookup.TABLE}
SOURCES = r"(core|backend|\w+_backend) src/\S+|https://github\.com/\S+/issues/\d+|microsoft/onnxruntime \S+|tritonize/\S+\.c"
OTHERS = ("CPython, passed on", "glibc's loader, passed on", "NumPy, passed on", "protobuf src/")


def test_every_row_has_a_line_of_its_own_source() -> None:
    assert len(ROWS) == len(lookup.TABLE) >= 40
    assert sorted(ROWS) == sorted(LINES)


@pytest.mark.parametrize("code", LINES)
def test_a_line_is_explained_by_its_row(code: str) -> None:
    found = lookup.explain(LINES[code])
    assert found is not None
    assert found.code == code
    for text in (found.cause, found.fix, found.where):
        assert text.strip()
        assert not re.search(r"\{\w*\}|None", text), text


@pytest.mark.parametrize("code", LINES)
def test_without_its_row_a_line_has_no_such_explanation(code: str) -> None:
    """No other row stands in for it by accident: a row that is removed is missed."""
    others = [row for row in lookup.TABLE if row.code != code and re.search(row.pattern, LINES[code])]
    quoting = {"ensemble-step-refused": {"plan-engine"}, "plan-other-device": {"plan-engine"}}
    nested = {"python-no-class": {"python-attribute"}, "python-own-module": {"python-module-missing"}}
    general = {"onnx-unknown-operator": {"onnx-invalid-graph"}}
    assert {row.code for row in others} <= (quoting | nested | general).get(code, set())


def test_every_row_cites_where_its_message_comes_from() -> None:
    assert [row.code for row in lookup.TABLE if not re.search(SOURCES, row.source) and not row.source.startswith(OTHERS)] == []


def test_a_group_of_a_pattern_that_does_not_take_part_is_empty() -> None:
    assert "custom operator or domain (com.example)" in str(lookup.explain("Error No opset import for domain 'com.example'"))


def test_an_unknown_message_is_not_explained() -> None:
    assert lookup.explain("the moon is full") is None
    assert lookup.explain("") is None
    assert lookup.explain("x" * 10**6 + LINES["no-gpu"]) is None  # what a model printed before it is not searched


def not_loaded(refused: dict[str, str]) -> ServerError:
    return readiness._not_loaded(refused)


def test_a_refused_model_is_explained_in_the_error() -> None:
    error = not_loaded({"heart": LINES["tensor-type"]})
    assert (error.code, error.where) == ("server-model-refused", "heart, config.pbtxt: input.data_type")
    assert error.found == LINES["tensor-type"]
    assert error.cause == "input B is TYPE_FP32 in the file and TYPE_FP16 in the configuration"
    assert error.next_step == "write data_type: TYPE_FP32 for B"


def test_several_refused_models_are_each_explained() -> None:
    error = not_loaded({"a": "the moon is full", "heart": LINES["batch-negative"], "lung": "new"})
    assert (error.where, error.found, error.cause) == ("a", "the moon is full", None)
    assert error.next_step == "correct the models or their config.pbtxt"
    assert error.details[0] == f"heart: {LINES['batch-negative']}"
    assert error.details[1] == "  cause: max_batch_size is negative"
    assert error.details[2].startswith("  next: write 0 for a model without batching")
    assert error.details[3:] == ("lung: new",)
    assert error.to_dict()["cause"] is None


MANAGER = """
E1130 07:41:10.545600 27417 model_repository_manager.cc:703] "Invalid argument: ensemble e contains models that are not available or ambiguous: s"
E1130 07:41:15.295774 27417 model_repository_manager.cc:703] "Invalid argument: in ensemble dims, ensemble tensor A: inconsistent data type: TYPE_FP32"
E1130 07:41:15.295828 27417 model_repository_manager.cc:703] "Invalid argument: ensemble 'version' depends on 'good' whose required version 9 is not loaded."
E1130 07:41:10.567008 27417 model_repository_manager.cc:724] "failed to load model 'none': at least one version must be available"
"""


def test_the_log_names_ensembles_and_models_without_versions(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(MANAGER)
    assert log.refusals(tmp_path / "log") == {
        "e": "ensemble e contains models that are not available or ambiguous: s",
        "dims": "in ensemble dims, ensemble tensor A: inconsistent data type: TYPE_FP32",
        "version": "ensemble 'version' depends on 'good' whose required version 9 is not loaded.",
        "none": "at least one version must be available",
    }


def test_a_model_that_makes_the_server_wait_without_end_is_found(tmp_path: Path) -> None:
    line = "I1130 07:39:09.038674 23027 pb_stub.cc:2105]  Failed to preinitialize Python stub: "
    (tmp_path / "log").write_text(f"{line}{LINES['python-no-file']}\n" + "I1130 more\n" * 1000)
    assert log.hung(tmp_path / "log") == {"m": LINES["python-no-file"]}
    (tmp_path / "log").write_text(f"{line}ModuleNotFoundError: No module named 'x'\n")
    assert log.hung(tmp_path / "log") == {}


class Index:
    """A connection whose server has an index."""

    where = "http://host:8000"

    def __init__(self, *entries: dict[str, str], error: Exception | None = None) -> None:
        self.entries, self.error = list(entries), error

    def model_index(self) -> list[dict[str, str]]:
        if self.error:
            raise self.error
        return self.entries


@pytest.mark.parametrize("version", ["3", ""])
def test_the_index_of_a_running_server_explains_a_model_that_is_not_ready(version: str) -> None:
    reason = f"Internal: {LINES['python-module-missing']}"
    index = Index({"name": "m", "version": version, "state": "UNAVAILABLE", "reason": reason}, {"name": "n", "state": "READY"})
    error = remote._not_ready(index, "m", 3, seconds=5.0)  # type: ignore[arg-type]
    assert error.code == "model-not-ready"
    assert error.found == "ModuleNotFoundError: No module named 'transformers'"
    assert error.cause == "model.py imports transformers, which the server's Python does not have"
    assert error.where is not None
    assert error.where.startswith("http://host:8000: model.py")


@pytest.mark.parametrize(
    "index",
    [
        Index({"name": "m", "version": "3", "state": "LOADING"}),
        Index({"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "Internal: another version"}),
        Index({"name": "n", "version": "3", "state": "UNAVAILABLE", "reason": "Internal: another model"}),
        Index(error=InferenceError.of(client_messages.REFUSED, found=http.HTTPStatus(403).phrase)),
    ],
)
def test_without_a_reason_nothing_is_claimed(index: Index) -> None:
    error = remote._not_ready(index, "m", 3, seconds=5.0)  # type: ignore[arg-type]
    assert (error.found, error.next_step) == (None, "raise --wait, or read the server's log")


def test_a_finding_has_the_reason_with_its_explanation() -> None:
    text = remote.explained(LINES["batch-negative"])
    assert text is not None
    assert text.startswith(f"{LINES['batch-negative']}; likely cause: max_batch_size is negative; next: write 0")
    assert remote.explained("the moon is full") == "the moon is full"
    assert remote.explained(None) is None
