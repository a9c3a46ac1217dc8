"""Decisions on data that a tracing exporter freezes: found, and refused where the samples see one side only."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.in_process import in_process  # noqa: F401 - a fixture
from tests.support.models import decides
from tritonize import api
from tritonize.core import decisions
from tritonize.core.errors import ExportError
from tritonize.core.reports import Report
from tritonize.export.worker.decisions import Recorder, found
from tritonize.export.worker.export_checks import ExportedWays
from tritonize.export.worker.swallowed_errors import SwallowedErrors
from tritonize.source.worker.torch_model import LoadedModel
from tritonize.spec.schema import Spec

ZEROS = torch.zeros(1, 4)
SAMPLES = (torch.randn(1, 4, generator=torch.Generator().manual_seed(0)), ZEROS, torch.ones(1, 4), -torch.ones(1, 4))
LARGE = torch.full((1, 4), 200.0)


def look(kind: type[torch.nn.Module], *more: torch.Tensor) -> tuple[decisions.Decision, ...]:
    """As the export does: the example is traced, then every sample."""
    model, example = LoadedModel(kind(), ["x"], []), (torch.rand(2, 4),)
    recorder = Recorder(1, model)
    with torch.no_grad(), recorder.watching():
        torch.jit._trace._get_trace_graph(model, example, strict=False)
    return found(model, example, ((each,) for each in (*SAMPLES, *more)), first=recorder.run)


def line(label: str) -> str:
    lines = Path(decides.__file__).read_text().splitlines()
    return f"decides.py:{next(number for number, text in enumerate(lines, 1) if text.endswith(f'# line: {label}'))}"


def slow(*values: object):
    """A case whose way from data to a decision resembles that of a quick one."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (decides.Pixels, "pixels"),
        (decides.PixelsByNumber, "number"),
        (decides.PixelsByHelper, "helper"),
        (decides.PixelsElsewhere, "elsewhere"),
        (decides.HalvesUntilSmall, "loop"),
        slow(decides.AlwaysTwice, "rounds"),
        (decides.Written, "written"),
        (decides.Counted, "counted"),
        (decides.Equal, "equal"),
        slow(decides.Array, "array"),
        (decides.Shared, "shared"),
        (decides.DataOnly, "data only"),
        slow(decides.AnyOf, "any of"),
        slow(decides.BackInATensor, "back in a tensor"),
        slow(decides.Near, "near"),
        slow(decides.Rounded, "rounded"),
        slow(decides.Clipped, "clipped"),
        slow(decides.Collected, "collected"),
        (decides.Filled, "filled"),
        slow(decides.FilledAndCompared, "filled and compared"),
        (decides.Global, "global"),
        (decides.GlobalFlag, "global flag"),
        (decides.LeavesBefore, "leaves before"),
        slow(decides.Compared, "compared"),
        (decides.RefusedAndCaught, "refused and caught"),
        (decides.AssertedAndCaught, "asserted and caught"),
        slow(decides.Printed, "printed"),
        slow(decides.Formatted, "formatted"),
        slow(decides.Percent, "percent"),
        (decides.PrintedElsewhere, "printed elsewhere"),
        slow(decides.StorageList, "storage list"),
        slow(decides.StorageBytes, "storage bytes"),
        (decides.Address, "address"),
        (decides.Pickled, "pickled"),
        slow(decides.Capsule, "capsule"),
        (decides.EachElement, "each element"),
        (decides.EqualByName, "equal by name"),
        (decides.CopiedDeeply, "copied deeply"),
        (decides.Copied, "copied"),
    ],
)
def test_a_decision_that_all_samples_take_alike_is_refused_by_its_line(kind, label):
    with pytest.raises(ExportError) as caught:
        decisions.require_seen(look(kind), [])
    assert caught.value.code == "frozen-branch"
    assert caught.value.where.endswith(line(label))
    assert line(label) in caught.value.next_step
    decisions.require_seen(look(kind), [caught.value.where.rpartition("/")[2]])  # what it offers is a way out


@pytest.mark.parametrize(
    "kind", [decides.Pixels, decides.PixelsByNumber, decides.PixelsByHelper, decides.HalvesUntilSmall, decides.Counted]
)
def test_samples_on_both_sides_are_the_other_way_out(kind):
    seen = look(kind, LARGE, LARGE / 2 + 20)
    decisions.require_seen(seen, [])
    assert any(each.verdict == "both sides" for each in seen)


def test_zeros_on_the_other_side_show_nothing():
    model, example = LoadedModel(decides.Pixels(), ["x"], []), (LARGE.expand(2, 4),)
    recorder = Recorder(1, model)
    with torch.no_grad(), recorder.watching():
        torch.jit._trace._get_trace_graph(model, example, strict=False)
    (seen,) = found(model, example, ((each,) for each in (LARGE, LARGE + 1, ZEROS)), first=recorder.run)
    assert (seen.verdict, seen.samples, seen.seen) == ("one side", 2, ("True",))


def test_each_condition_on_the_way_of_an_array_is_a_decision():
    with pytest.raises(ExportError) as caught:
        decisions.require_seen(look(decides.Chosen), [])
    assert line("chosen").removeprefix("decides.py") in caught.value.where


@pytest.mark.parametrize(
    "kind", [decides.Alike, decides.Newton, decides.Checks, decides.ChecksArrays, decides.Validated, decides.Logs]
)
def test_what_the_samples_show_or_changes_no_answer_needs_no_fuss(kind):
    decisions.require_seen(look(kind, LARGE / 9000), [])


def test_what_is_computed_of_weights_and_sizes_is_no_decision_on_data():
    lines = {each.where.rpartition(":")[2] for each in look(decides.Checks)}
    text = Path(decides.__file__).read_text().splitlines()
    assert all("self.scale" not in text[int(each) - 1] and "shape" not in text[int(each) - 1] for each in lines)
    assert len(lines) == 4


def test_what_is_watched_is_put_back():
    before = {
        name: getattr(torch.Tensor, name) for name in ("__bool__", "item", "__len__", "data", "__repr__", "storage", "__deepcopy__")
    }
    look(decides.Pixels)
    assert {name: getattr(torch.Tensor, name) for name in before} == before
    assert not {"__bool__", "untyped_storage", "__copy__"} & vars(torch.Tensor).keys()
    assert decides.equal is torch.equal


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_stays_in_the_trace(copied):
    with torch.no_grad(), Recorder(1, decides.Copied()).watching():
        traced = torch.jit.trace(lambda x: copied(x) * 2, (torch.ones(2),), check_trace=False)
        assert torch.equal(copied(LARGE), LARGE)
    assert traced(LARGE).max() == 400


def test_the_tracers_warnings_keep_their_lines():
    model = LoadedModel(decides.Pixels(), ["x"], [])
    recorder = Recorder(1, model)
    with torch.no_grad(), recorder.watching():
        torch.jit._trace._get_trace_graph(model, (torch.rand(2, 4),), strict=False)
    (warned,) = recorder.warned
    assert warned.where.endswith(line("pixels"))
    assert "boolean" in warned.what


def build(source: str, **fields: object) -> Report:
    """Up to the staged version, one strategy, workers in this process."""
    Path("decides.py").write_text(Path(decides.__file__).read_text())
    model = {"source": source, "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 2, "strategies": ["legacy"], **fields}
    (report,) = api.build(Spec.model_validate({"schema": 1, "models": {"m": model}}))
    return report


@pytest.mark.usefixtures("in_process")
def test_what_the_spec_accepts_is_repeated_by_report_and_manifest():
    with pytest.raises(ExportError) as caught:
        build("decides:Pixels")
    assert (caught.value.code, caught.value.where) == ("frozen-branch", line("pixels"))
    report = build("decides:Pixels", accept_branches=[line("pixels"), "decides.py:1"])
    assert report.verdict == "passed"
    assert any(line("pixels") in note for note in report.notes)
    assert any("decides.py:1," in note for note in report.notes)  # accepted in vain
    manifest = json.loads((report.location / "evidence" / "manifest.json").read_text())
    (attempt,) = manifest["attempts"]
    assert attempt["decisions"][0]["where"] == attempt["warned"][0]["where"] == line("pixels")
    assert manifest["spec"]["accept_branches"] == [line("pixels"), "decides.py:1"]
    assert line("pixels") in " ".join(manifest["notes"])


@pytest.mark.usefixtures("in_process")
def test_samples_on_both_sides_find_the_difference_by_themselves():
    report = build("decides:Pixels", inputs={"x": {"shape": [4], "range": [0, 255]}}, max_batch_size=0)
    assert report.verdict == "failed"
    assert any(line("pixels") in note for note in report.notes)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("how", ["trace", "script"])
def test_a_traced_file_has_no_branches_left_to_observe(how):
    module = (
        torch.jit.trace(decides.Pixels(), torch.rand(2, 4)) if how == "trace" else torch.jit.script(nn.Sequential(nn.Linear(4, 2)))
    )
    module.save("net.pt")
    report = build("net.pt", inputs={"INPUT__0": {"shape": ["batch", 4]}})
    assert report.details["reference"]["branches"] == ("not observable" if how == "trace" else "observed")
    assert any("cannot check data-dependent branches" in note for note in report.notes) is (how == "trace")


def captured(kind: type[torch.nn.Module], *more: torch.Tensor) -> tuple[decisions.Decision, ...]:
    """As an export by torch.export does."""
    model, example, watched = LoadedModel(kind(), ["x"], []), (torch.rand(2, 4),), SwallowedErrors()
    with torch.no_grad(), watched.watching():
        torch.export.export(model, example, strict=False)
    return watched.found(model, ((each,) for each in (*SAMPLES, *more)), example)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (decides.Tried, "tried"),
        (decides.TriedNumber, "tried number"),
        (decides.TriedStorage, "tried storage"),
        (decides.Printed, "printed"),
        (decides.Formatted, "formatted"),
    ],
)
def test_a_decision_that_torch_export_refuses_and_the_model_catches_is_refused(kind, label):
    before = torch.Tensor.__bool__, torch.Tensor.numpy, torch.SymBool.__bool__
    with pytest.raises(ExportError) as caught:
        decisions.require_seen(captured(kind), [])
    assert (caught.value.code, caught.value.where.endswith(line(label))) == ("frozen-branch", True)
    assert before == (torch.Tensor.__bool__, torch.Tensor.numpy, torch.SymBool.__bool__)


def test_samples_on_both_sides_of_it_are_compared_instead():
    (seen,) = captured(decides.Tried, LARGE)
    assert (seen.verdict, set(seen.seen)) == ("both sides", {"True", "False"})


@pytest.mark.parametrize("kind", [decides.TriesOthers, decides.Logs])
def test_other_exceptions_that_a_model_catches_and_logs_hide_nothing(kind):
    assert captured(kind) == ()


@pytest.mark.usefixtures("in_process")
def test_a_file_without_the_branch_that_was_caught_is_not_taken():
    with pytest.raises(ExportError) as caught:
        build("decides:Tried", strategies=["dynamo"])
    assert (caught.value.code, caught.value.where) == ("frozen-branch", line("tried"))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("strategy", ["legacy", "dynamo"])
def test_a_model_that_takes_another_way_while_it_is_exported_is_told(strategy):
    before = torch.compiler.is_compiling, torch.jit.is_tracing
    told = [build(f"decides:{kind}", strategies=[strategy]).notes for kind in ("AsksFirst", "TriesOthers")]
    assert [any(line("asks") in note for note in notes) for notes in told] == [True, False]
    assert before == (torch.compiler.is_compiling, torch.jit.is_tracing)


@pytest.mark.parametrize("strategy", ["legacy", "dynamo"])
@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (decides.AsksByName, "asks by name"),
        (decides.AsksByAlias, "asks by alias"),
        (decides.AsksDynamo, "asks dynamo"),
        (decides.asks_in_closure, "asks in closure"),
        (decides.TriesOthers, None),
    ],
)
def test_it_is_told_under_whatever_name_the_model_asks(kind, label, strategy, monkeypatch):
    if strategy == "legacy":
        monkeypatch.setattr("torch.onnx._internal.torchscript_exporter._globals.GLOBALS.in_onnx_export", True)
    model, example = LoadedModel(kind(), ["x"], []), (torch.rand(2, 4),)
    before, ways = decides.is_compiling, ExportedWays(model)
    with torch.no_grad(), ways.watching():
        if strategy == "legacy":
            torch.jit._trace._get_trace_graph(model, example, strict=False)
        else:
            torch.export.export(model, example, strict=False)
    assert [each.rpartition("/")[2] for each in ways.places] == ([line(label)] if label else [])
    assert before is decides.is_compiling is torch.compiler.is_compiling
