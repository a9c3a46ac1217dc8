"""Python attributes that a model changes when it runs are named as the likely cause if its file is wrong."""

from __future__ import annotations

import functools
from collections import deque
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.in_process import in_process  # noqa: F401 - a fixture
from tritonize import api
from tritonize.core.error_location import as_text
from tritonize.core.errors import ExportError
from tritonize.reference.worker import python_state
from tritonize.spec.schema import Model, Spec
from tritonize.workflows import keep_fp32

SOURCE = """
import torch
from torch import nn

class Cached(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = Inner()
    def forward(self, x):
        return self.inner(x)

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.table = nn.Linear(4, 4), None
    def forward(self, x):
        if self.table is None:
            self.table = x.mean(0) * 3
        return self.layer(x) + self.table

class Counts(nn.Module):
    calls = 0
    def forward(self, x):
        Counts.calls += 1
        return x * Counts.calls

class Harmless(nn.Module):
    last = None
    def forward(self, x):
        self.last = x
        return x * 2
"""


def model(name: str) -> Model:
    Path("net.py").write_text(SOURCE)
    fields = {"source": f"net:{name}", "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 2, "strategies": ["legacy"]}
    return Spec.model_validate({"schema": 1, "models": {"m": fields}}).models["m"]


@pytest.mark.usefixtures("in_process")
def test_locate_and_the_report_name_an_attribute_that_the_first_call_sets():
    found = keep_fp32.locate_model(model("Cached"), Path("work"))
    assert (found.kind, found.origin) == ("modules", None)
    assert found.state == ("inner.table (None, then tensor of shape [4])",)
    text = as_text(found)
    assert "NO ORIGIN" not in text
    assert "changed: inner.table" in text
    (report,) = api.build(Spec(schema=1, models={"m": model("Cached")}))
    assert report.verdict == "failed"
    assert any("inner.table" in note for note in report.notes)


@pytest.mark.usefixtures("in_process")
def test_the_error_names_a_counter_that_changes_the_outputs():
    with pytest.raises(ExportError) as caught:
        api.build(Spec(schema=1, models={"m": model("Counts")}))
    assert caught.value.code == "state-decides"
    assert "Counts.calls (0, then" in caught.value.found


@pytest.mark.usefixtures("in_process")
def test_changed_state_is_not_mentioned_if_the_file_passes():
    (report,) = api.build(Spec(schema=1, models={"m": model("Harmless")}))
    assert report.verdict == "passed"
    assert not any("last" in note for note in report.notes)


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deep = {"a": [1, {"b": torch.zeros(3)}], "q": deque([1, 2])}
        self.names = {"x", "y"}
        self.other = type("Other", (), {})()
        self.other.count = 1
        self.myself = [self.deep]
        self.deep["round"] = self.myself

    @functools.lru_cache  # noqa: B019
    def table(self, size: int) -> int:
        return size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda module: module.deep["a"][1]["b"].add_(1), "deep"),
        (lambda module: module.deep["q"].append(3), "deep"),
        (lambda module: module.names.add("z"), "names"),
        (lambda module: setattr(module.other, "count", 2), "other"),
        (lambda module: setattr(module, "added", 1), "added"),
        (lambda module: module.table(3), "Stateful.table"),
    ],
)
def test_every_kind_of_changed_attribute_is_found(change, name):
    module = Stateful()
    before = python_state.state(module)
    assert python_state.changes(before, python_state.state(module)) == ()
    change(module)
    (found, *others) = python_state.changes(before, python_state.state(module))
    assert found.startswith(f"{name} (")
    assert all(each.startswith("myself") for each in others)  # it holds `deep` too
