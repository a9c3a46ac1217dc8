"""Parameters and buffers of every kind of tensor: hashed by their bytes, or named with the reason why they cannot be."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch

from tests.support.command import MODELS
from tests.support.models import states
from tritonize.core.errors import ExportError, UsageError
from tritonize.reference.tasks import ReferenceRequest, ReferenceResult
from tritonize.reference.worker import determinism, runner
from tritonize.source import samples
from tritonize.source.tasks import InspectRequest, LoadRequest
from tritonize.source.worker import inspection, module_state
from tritonize.source.worker.torch_model import to_numpy
from tritonize.spec import schema


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(MODELS / "states.py", "states.py")
    monkeypatch.syspath_prepend(".")


def answer(factory: str, folder, **fields) -> ReferenceResult:
    """What the worker that runs PyTorch answers."""
    model = schema.Model.model_validate({"source": "-", "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 2})
    drawn = samples.write(model, folder / "samples")
    load = LoadRequest(kind="factory", location=f"states:{factory}", inputs=("x",), **fields)
    return runner.compute(ReferenceRequest(model=load, samples=drawn, directory=folder / "out"))


@pytest.mark.parametrize("kind", list(states.tensors()))
def test_every_kind_is_hashed_by_its_bytes(kind):
    module, same = states.Holder(kind), states.Holder(kind)
    first = determinism.fingerprint(module)
    assert first == determinism.fingerprint(same)
    assert first["kept"] != 0
    assert module_state.nbytes(module) > 4
    part = next(module_state.parts(same.kept))
    other = torch.randint(2, 99, part.reshape(-1).view(torch.uint8).shape, dtype=torch.uint8)
    assert module_state.checksum("kept", other) != first["kept"]


@pytest.mark.parametrize("kind", ["sparse", "csr", "quantized", "float8", "nested"])
def test_a_change_of_one_value_is_seen(kind):
    module = states.Holder(kind)
    before = determinism.fingerprint(module)
    if kind == "quantized":
        module.kept = torch.quantize_per_tensor(torch.ones(3, 2), 0.2, 0, torch.qint8)
    elif kind == "float8":
        module.kept.view(torch.uint8)[0, 0] = 1
    else:
        values = module.kept.unbind()[0] if kind == "nested" else module.kept.values() if kind == "csr" else module.kept._values()
        values[0] = 2
    with pytest.raises(ExportError) as error:
        determinism.require_unchanged(before, module)
    assert "kept" in error.value.found


def test_packed_weights_of_quantized_layers_count():
    module, other = states.quantized(), states.quantized()
    assert determinism.fingerprint(module) == determinism.fingerprint(other) != {}
    other.set_weight_bias(torch.quantize_per_tensor(torch.zeros(3, 4), 0.1, 0, torch.qint8), torch.ones(3))
    assert determinism.fingerprint(module) != determinism.fingerprint(other)


def test_plain_tensors_keep_their_checksum():
    """It is that of their contiguous bytes, in whatever order they lie."""
    weight = torch.arange(6.0).reshape(2, 3)
    assert module_state.checksum("w", weight) == module_state.checksum("w", weight.T.contiguous().T)


@pytest.mark.parametrize(("factory", "kwargs"), [("Float8", {}), ("Holder", {"kind": "sparse"}), ("Holder", {"kind": "quantized"})])
def test_pytorch_is_asked_whatever_its_state_is_made_of(factory, kwargs, tmp_path):
    assert answer(factory, tmp_path, kwargs=kwargs).state


@pytest.mark.parametrize(
    ("factory", "code", "name"), [("lazy", "state-uninitialized", "1.weight"), ("on_meta", "state-meta", "0.weight")]
)
def test_a_parameter_without_values_is_named(factory, code, name, tmp_path):
    for ask in (
        lambda: answer(factory, tmp_path),
        lambda: inspection.inspect(InspectRequest(kind="factory", location=f"states:{factory}")),
    ):
        with pytest.raises(UsageError) as error:
            ask()
        assert error.value.code == code
        assert name in error.value.what


@pytest.mark.parametrize("factory", ["lazy", "on_meta"])
def test_weights_put_values_in_place(factory, tmp_path):
    filled = {"lazy": lambda: torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)), "on_meta": None}
    made = filled[factory]() if factory == "lazy" else torch.nn.Sequential(torch.nn.Linear(4, 3))
    torch.save(made.state_dict(), "weights.pt")
    found = answer(factory, tmp_path, weights=Path("weights.pt"))
    assert found.state == determinism.checksum(determinism.fingerprint(copy.deepcopy(made)))


@pytest.mark.parametrize("kind", ["float8", "sparse", "quantized", "nested", "meta"])
def test_an_output_of_such_a_kind_is_no_traceback(kind):
    with pytest.raises(ExportError) as error:
        to_numpy(states.Answers(kind)(torch.ones(1)))
    assert error.value.code == "output-type"
