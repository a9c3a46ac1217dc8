"""Where each input of a spec goes in forward(), what a sample leaves out, and the names of what a model answers."""

from __future__ import annotations

import collections
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.utils._pytree as pytree

from tests.support.command import MODELS
from tests.support.exporting import exported
from tests.support.models import calls
from tests.support.models.calls import DynamicCache, EncoderDecoderCache, Everything, Layer, OldCache, Plain
from tritonize.core import call_arguments, named_arrays, nested
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import UsageError
from tritonize.source import in_process
from tritonize.source.tasks import INSPECT, DrawRequest, InspectRequest, LoadRequest
from tritonize.source.worker import inspection, sample_function, torch_model
from tritonize.source.worker.loader import ProgramModule

A, B, C = "a", "b", "c"


def call(function, *inputs: str, values=(A, B, C)):
    """What a function is called with."""
    return call_arguments.bind(call_arguments.parameters(function), inputs).arguments(values[: len(inputs)])


def _two(x, mask=None, y=None): ...
def _scaled(x, scale=1.0, y=None): ...
def _required(x, mask): ...
def _annotated(x, mask: torch.Tensor | None, y: str): ...
def _behind(x, mask: "Optional[torch.Tensor]"): ...  # noqa: F821, UP037 - what `from __future__` makes of it
def _more(x, *more): ...
def _named(x, **more): ...
def _keyword(x, *, y=None): ...
def _open(*more, **others): ...
def _nameless(x, y=None, /): ...


@pytest.mark.parametrize(
    ("function", "inputs", "positional", "named"),
    [
        (_two, ["x", "y"], [A], {"y": B}),
        (_two, ["image"], [A], {}),
        (_two, ["INPUT__0", "INPUT__1"], [A, B], {}),
        (_two, ["INPUT__1", "INPUT__0"], [B, A], {}),
        (_two, ["INPUT__0", "INPUT__2"], [A, None, B], {}),
        (_two, ["INPUT__0.a", "INPUT__0.b", "INPUT__1"], [{"a": A, "b": B}, C], {}),
        (_two, ["x.0", "x.1"], [[A, B]], {}),
        (_two, ["image.a", "image.b"], [{"a": A, "b": B}], {}),
        (_annotated, ["x", "y"], [A, None, B], {}),
        (_annotated, ["INPUT__0", "INPUT__2"], [A, None, B], {}),
        (_behind, ["x"], [A, None], {}),
        (_behind, ["image"], [A, None], {}),
        (_more, ["INPUT__0", "INPUT__1", "INPUT__2"], [A, B, C], {}),
        (_named, ["x", "other"], [A], {"other": B}),
        (_open, ["one", "other"], [A, B], {}),
        (_keyword, ["x", "y"], [A], {"y": B}),
        (_nameless, ["x", "y"], [A, B], {}),
        (_nameless, ["x"], [A], {}),
        (_keyword, ["image"], [A], {}),
    ],
)
def test_inputs_go_to_their_parameters(function, inputs, positional, named):
    assert call(function, *inputs) == (positional, named)


@pytest.mark.parametrize(
    ("function", "inputs", "code"),
    [
        (_scaled, ["INPUT__0", "INPUT__2"], "input-left-out"),
        (_two, ["INPUT__1"], "inputs-not-parameters"),
        (_two, ["x", "z"], "inputs-not-parameters"),
        (_two, ["INPUT__0", "INPUT__3"], "inputs-not-parameters"),
        (_keyword, ["INPUT__0", "INPUT__1"], "inputs-not-parameters"),
        (_required, ["x"], "inputs-not-parameters"),
        (_required, ["INPUT__0"], "inputs-not-parameters"),
        (_open, ["INPUT__0", "INPUT__2"], "inputs-not-parameters"),
    ],
)
def test_inputs_that_have_no_place_are_refused(function, inputs, code):
    with pytest.raises(UsageError) as error:
        call(function, *inputs)
    assert error.value.code == code


def test_hooks_are_given_the_inputs():
    module = torch.nn.Linear(2, 2)
    module.register_forward_pre_hook(lambda _, arguments: (arguments[0] + 1,))
    x = torch.ones(1, 2)
    (found,) = torch_model.LoadedModel(module, ("input",), ())(x)
    assert torch.equal(found, module(x))


def test_scripts_know_what_may_be_none():
    script = torch.jit.script(_Scripted())
    model = torch_model.LoadedModel(script, ("INPUT__0", "INPUT__2"), ())
    x, y = torch.ones(1), torch.full((1,), 3.0)
    assert float(model(x, y)[0]) == 4
    assert float(torch_model.LoadedModel(script, ("x", "y"), ())(x, y)[0]) == 4


class _Scripted(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, y: torch.Tensor) -> torch.Tensor:
        return x + y if mask is None else x * mask


def named(answer) -> dict[str, object]:
    return {".".join(path): leaf for path, leaf in nested.leaves(pytree, answer)}


def test_caches_and_dataclasses_are_opened():
    own = DynamicCache(Layer(1, 2), Layer(None, None))
    assert named((0, own)) == {"0": 0, "1.0.key": 1, "1.0.value": 2}
    assert named({"c": EncoderDecoderCache(own, OldCache((3, 4)))}) == {
        "c.self.0.key": 1,
        "c.self.0.value": 2,
        "c.cross.0.key": 3,
        "c.cross.0.value": 4,
    }
    linear = Layer(5, 6)
    linear.conv_states, linear.recurrent_states = {0: 7, 1: None}, {0: 8}
    assert named(DynamicCache(linear)) == {"0.key": 5, "0.value": 6, "0.conv.0": 7, "0.recurrent.0": 8}
    assert named(calls.Answer(logits=9, past_key_values=[own])) == {
        "logits": 9,
        "past_key_values.0.0.key": 1,
        "past_key_values.0.0.value": 2,
    }
    assert named(collections.OrderedDict(a=None, b=1)) == {"b": 1}


@pytest.mark.parametrize("strategy", ["dynamo", "legacy"])
def test_a_tuple_with_nested_and_missing_inputs_and_a_cache_as_answer_is_exported(strategy, tmp_path):
    item = dict(named_arrays.named(calls.sample(0), "sample"))
    assert list(item) == ["INPUT__0.image", "INPUT__0.other", "INPUT__2"]
    model = torch_model.LoadedModel(Everything().eval(), tuple(item), ())
    batch = {name: np.concatenate([array, 2 * array]) for name, array in item.items()}
    expected = model.run(batch)
    assert list(expected) == ["logits", *(f"past_key_values.{layer}.{kind}" for layer in (0, 2) for kind in ("key", "value"))]
    inputs = tuple(TensorSpec(name=name, dtype="fp32", shape=("batch", array.shape[1])) for name, array in item.items())
    session = exported(model, inputs, list(expected), model.tensors(batch), strategy)
    three = {name: np.concatenate([array] * 3) for name, array in item.items()}
    for found, wanted in zip(session.run(None, three), model.run(three).values(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("example", [{"image": torch.ones(2, 4)}, (torch.ones(2, 4),), torch.ones(2, 4), {"x": torch.ones(2, 4)}])
def test_an_example_of_any_name_is_the_one_input(example):
    with in_process.saved_model(Plain(), example) as source:
        names = tuple(name for name, _ in named_arrays.named(example, "example"))
        request = LoadRequest(
            kind="module", location=str(in_process.model_file(source)), kwargs={}, weights=None, inputs=names, outputs=()
        )
        model = torch_model.load(request)  # compares with what this process answered
        assert model(torch.ones(1, 4))[0].shape == (1, 3)


def test_an_example_with_a_cache_as_its_answer_is_compared_too():
    with in_process.saved_model(Everything(), calls.sample(0)) as source:
        told = torch.load(in_process.expected_outputs_file(in_process.model_file(source)), weights_only=True)
    assert len(told["outputs"]) == 5
    assert set(told["inputs"]) == {"INPUT__0.image", "INPUT__0.other", "INPUT__2"}


class Elsewhere(Plain):
    """A module on another device than the CPU, as far as that can be told without one."""

    device = "cuda:0"

    def _apply(self, *arguments, **named):
        self.device = "cpu"
        return super()._apply(*arguments, **named)

    def forward(self, x):
        if str(x.device) != self.device:
            raise RuntimeError(f"Expected all tensors to be on the same device, found {x.device} and {self.device}")
        return super().forward(x)


def test_a_module_on_a_gpu_answers_its_example_on_the_cpu_as_the_worker_does():
    module = Elsewhere()
    with in_process.saved_model(module, torch.ones(2, 4)) as source:
        told = torch.load(in_process.expected_outputs_file(in_process.model_file(source)), weights_only=True)
    assert [each.shape for each in told["outputs"]] == [(2, 3)]
    assert module.device == "cuda:0"  # the caller's own stays where it is


def test_an_example_that_does_not_fit_is_named():
    with (
        pytest.raises(UsageError) as error,
        in_process.saved_model(Plain(), {"image": torch.ones(1, 4), "other": torch.ones(1, 4)}),
    ):
        pass
    assert (error.value.code, error.value.expected) == ("inputs-not-parameters", "x")


def test_a_function_of_samples_may_return_that_tuple(monkeypatch):
    shutil.copy(MODELS / "calls.py", "calls.py")
    monkeypatch.syspath_prepend(".")
    answer = sample_function.draw(DrawRequest(function="calls:sample", count=2, seed=0, directory=Path("drawn")))
    assert [each.name for each in answer.tensors] == ["INPUT__0.image", "INPUT__0.other", "INPUT__2"]


def test_none_in_a_list_is_named():
    with pytest.raises(UsageError) as error:
        list(named_arrays.named({"x": [np.ones(1), None]}, "sample"))
    assert (error.value.code, "x.1" in error.value.what) == ("sample-none-in-list", True)


class _Optional(torch.nn.Module):
    def forward(self, batch, mask=None, scale=1.0, y=None):
        return batch["a"] * scale + y


def test_a_program_keeps_what_it_was_exported_with():
    example = ({"a": torch.ones(2, 3)}, None, 2.0)
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {"batch": {"a": {0: dynamic}}, "mask": None, "scale": None, "y": {0: dynamic}}
    program = torch.export.export(_Optional(), example, {"y": torch.ones(2, 3)}, dynamic_shapes=shapes)
    torch.export.save(program, "p.pt2")
    found = inspection.inspect(InspectRequest(kind="exported_program", location="p.pt2"))
    names = [each.name for each in found.inputs]
    assert len(names) == 2
    wrapped = ProgramModule(torch.export.load("p.pt2"))
    assert wrapped.paths == ("INPUT__0.a", "y")
    for inputs in (names, ["y", "INPUT__0.a"]):
        values = {names[0]: 3.0, "INPUT__0.a": 3.0, names[1]: 1.0, "y": 1.0}
        model = torch_model.LoadedModel(wrapped, inputs, ())
        (answer,) = model(*(torch.full((4, 3), values[name]) for name in inputs))
        torch.testing.assert_close(answer, torch.full((4, 3), 7.0))
    json.dumps(INSPECT.encode_result(found))
