"""What a model keeps in Python between calls: named where its file is wrong, instead of a fault that no node has."""

from __future__ import annotations

import functools
from collections import deque
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.in_process import in_process  # noqa: F401 - a fixture
from tritonize import api, repairing
from tritonize.errors import ExportError
from tritonize.location import as_text
from tritonize.spec import Model, Spec
from tritonize.workers import python_state

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
def test_locate_names_a_table_of_the_first_call_and_the_report_too():
    found = repairing.locate_model(model("Cached"), Path("work"))
    assert (found.kind, found.origin) == ("modules", None)
    assert found.state == ("inner.table (None, then tensor of shape [4])",)
    text = as_text(found)
    assert "NO ORIGIN" not in text
    assert "changed: inner.table" in text
    (report,) = api.build(Spec(schema=1, models={"m": model("Cached")}))
    assert report.verdict == "failed"
    assert any("inner.table" in note for note in report.notes)


@pytest.mark.usefixtures("in_process")
def test_a_counter_that_decides_is_named():
    with pytest.raises(ExportError) as caught:
        api.build(Spec(schema=1, models={"m": model("Counts")}))
    assert caught.value.code == "state-decides"
    assert "Counts.calls (0, then" in caught.value.found


@pytest.mark.usefixtures("in_process")
def test_state_of_a_right_file_is_not_mentioned():
    (report,) = api.build(Spec(schema=1, models={"m": model("Harmless")}))
    assert report.verdict == "passed"
    assert not any("last" in note for note in report.notes)


class Keeps(nn.Module):
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
        (lambda kept: kept.deep["a"][1]["b"].add_(1), "deep"),
        (lambda kept: kept.deep["q"].append(3), "deep"),
        (lambda kept: kept.names.add("z"), "names"),
        (lambda kept: setattr(kept.other, "count", 2), "other"),
        (lambda kept: setattr(kept, "added", 1), "added"),
        (lambda kept: kept.table(3), "Keeps.table"),
    ],
)
def test_whatever_changes_is_named(change, name):
    kept = Keeps()
    before = python_state.state(kept)
    assert python_state.changes(before, python_state.state(kept)) == ()
    change(kept)
    (found, *others) = python_state.changes(before, python_state.state(kept))
    assert found.startswith(f"{name} (")
    assert all(each.startswith("myself") for each in others)  # it holds `deep` too
