"""What is said of a source that cannot be found, loaded or run: what is meant, and what to write."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.in_process import in_process  # noqa: F401 - a fixture
from tests.support.models import sources
from tritonize import api
from tritonize.core.artifacts import Source
from tritonize.core.errors import CodePlace, TritonizeError
from tritonize.export import ladder_failure
from tritonize.onnx_model.worker import origins
from tritonize.reference.worker.determinism import require_mode
from tritonize.source import identification
from tritonize.source.tasks import INSPECT, InspectRequest, LoadRequest
from tritonize.source.worker import inspection, script_errors, script_facts, torch_model
from tritonize.spec import loader
from tritonize.spec.schema import Model, Spec
from tritonize.workflows import portable_spec

X = torch.rand(2, 4)


def load(location: str, kind: str = "factory", **fields: object) -> torch_model.LoadedModel:
    request = {"kind": kind, "location": location, "kwargs": {}, "weights": None, "inputs": ("x",), "outputs": ()}
    return torch_model.load(LoadRequest(**{**request, **fields}))


def refused(call) -> TritonizeError:
    with pytest.raises(TritonizeError) as caught:
        call()
    return caught.value


NET = "tests.support.models.sources:Net"


@pytest.mark.parametrize(
    ("kept", "key", "prefix"),
    [
        (lambda state: {f"module.{name}": each for name, each in state.items()}, "", "module."),
        (lambda state: {f"_orig_mod.{name}": each for name, each in state.items()}, "", "_orig_mod."),
        (lambda state: {"state_dict": {f"model.{name}": each for name, each in state.items()}, "epoch": 3}, "state_dict", "model."),
        (lambda state: {"network_weights": state, "optimizer_state": {"state": {0: X}}}, "network_weights", ""),
        (lambda state: {"checkpoint": {"model": state}}, "checkpoint.model", ""),
        (lambda state: {f"net.module.{name}": each for name, each in state.items()} | {"loss.weight": X}, "", "net.module."),
    ],
)
def test_an_entry_and_a_prefix_of_a_state_dict_are_named_and_what_is_offered_loads(kept, key, prefix):
    own = sources.Net().state_dict()
    changed = {name: each + 1 for name, each in own.items()}
    torch.save(kept(changed), "net.pth")
    error = refused(lambda: load(NET, weights=Path("net.pth")))
    assert error.code == ("weights-key" if key else "weights-prefix")
    offered = "".join(f", {name}: {value}" for name, value in (("key", key), ("prefix", prefix)) if value)
    assert f"weights: {{file: net.pth{offered}}}" in error.next_step
    model = load(NET, weights=Path("net.pth"), weights_key=key, weights_prefix=prefix)
    assert torch.equal(model.module.first.weight, changed["first.weight"])


def test_a_wrapped_factory_and_wrong_fields_are_named():
    torch.save(sources.Net().state_dict(), "net.pth")
    assert refused(lambda: load("tests.support.models.sources:Wrapped", weights=Path("net.pth"))).code == "weights-wrapped"
    assert refused(lambda: load(NET, weights=Path("net.pth"), weights_key="state_dict")).code == "weights-no-key"
    assert refused(lambda: load(NET, weights=Path("net.pth"), weights_prefix="module.")).code == "weights-no-prefix"
    torch.save(nn.Linear(2, 2).state_dict(), "other.pth")
    assert "architecture" in refused(lambda: load(NET, weights=Path("other.pth"))).cause


def test_weights_with_fields_are_read_from_a_spec_and_written_without_a_folder():
    Path("sub").mkdir()
    Path("sub/s.yaml").write_text(
        "schema: 1\nmodels:\n  m:\n    source: a:b\n    weights: {file: w.pt, prefix: module., key: state_dict}\n"
        "    inputs: {x: {shape: [2]}}\n"
    )
    model = loader.load(Path("sub/s.yaml"), check_triton=lambda _: []).models["m"]
    assert (model.state_dict.file, model.state_dict.prefix, model.state_dict.key) == (Path("sub/w.pt"), "module.", "state_dict")
    assert portable_spec.portable(model)["weights"] == {"file": "w.pt", "prefix": "module.", "key": "state_dict"}
    assert portable_spec.portable(model.model_copy(update={"weights": Path("sub/w.pt")}))["weights"] == "w.pt"


@pytest.mark.parametrize(
    ("source", "code", "written"),
    [
        ("mypkg/resnet.py:resnet18", "source-near-factory", "mypkg.resnet:resnet18"),
        ("mypkg.resnet.resnet18", "source-near-factory", "mypkg.resnet:resnet18"),
        ("unet3D.pt", "source-near-file", "UNet3d.pt"),
        ("unet3.pt", "source-near-file", "UNet3d.pt"),
        ("elsewhere.pt", "source-no-file", None),
    ],
)
def test_a_source_written_otherwise_is_told_as_what_is_meant(source, code, written):
    Path("UNet3d.pt").write_bytes(b"x")
    error = refused(lambda: identification.identify(Model(source=source, inputs={})))
    assert error.code == code
    assert written is None or written in error.next_step


def test_a_factory_called_otherwise_is_told_as_what_is_meant():
    error = refused(lambda: load("tests.support.models.sources:resnet50"))
    assert error.code == "source-near-attribute"
    assert "tests.support.models.sources:resnet18" in error.next_step
    assert refused(lambda: load("tests.support.models.sources:zzzzzz")).code == "source-no-factory"


@pytest.mark.parametrize(
    ("written", "near"),
    [("tests.support.models.sources:RESNET18", "tests.support.models.sources:resnet18"), ("torch.nn:Linaer", "torch.nn:Linear")],
)
def test_a_factory_in_other_case_or_of_another_file_of_the_package_is_found(written, near):
    error = refused(lambda: load(written))
    assert (error.code, near in error.next_step) == ("source-near-attribute", True)


def test_a_file_in_the_place_of_a_module_is_told_as_that():
    Path("net.py").touch()
    error = refused(lambda: identification.identify(Model(source="net.py:Net", inputs={})))
    assert (error.code, error.next_step) == ("source-factory-suffix", "write net:Net")
    assert (
        identification.identify(Model(source="other.py:Net", inputs={})).kind == "factory"
    )  # a package may have a module called py


def test_a_module_that_forward_imports_is_no_matter_of_the_inputs():
    error = refused(lambda: load("tests.support.models.lacking:Imports").run({"x": X.numpy()}))
    assert (error.code, "lacking.py" in error.where) == ("model-missing-module", True)


def test_lines_of_the_standard_library_are_not_the_user_s():
    assert "lacking.py" in refused(lambda: load("tests.support.models.lacking:reads")).where
    frames = [(contextlib.__file__, 137), ("net.py", 8), (torch.__file__, 4)]
    stack = "\n".join(f'File "{file}", line {line}, in f' for file, line in [frames[2], frames[1], frames[0]])
    assert origins.user_line(stack) == "net.py:8"
    within = "\n".join(f'File "{file}", line {line}, in f' for file, line in [frames[2], frames[0]])
    assert origins.user_line(within) == "torch/__init__.py:4"
    scope = "scope: net.Net::/net.Quantized::layer # {}:137:0"
    assert origins.of_legacy_line(scope.format(contextlib.__file__), "").source is None
    assert origins.of_legacy_line(scope.format("net.py"), "").source == "net.py:137"
    place = CodePlace(line="torch/__init__.py:4")
    steps = ladder_failure._next_steps(Source(kind="factory", location="m", sha256={}), (), place)
    assert not [step for step in steps if "torch/__init__.py" in step]


def test_machine_code_of_aotinductor_is_told_as_that():
    with zipfile.ZipFile("net.pt2", "w") as archive:
        for name in ("archive_format", "data/aotinductor/model/net.wrapper.so", "version"):
            archive.writestr(f"net/{name}", "pt2")
    assert refused(lambda: identification.identify(Model(source="net.pt2", inputs={}))).code == "source-aot-inductor"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_model_that_asks_for_a_gpu_is_told_as_that():
    error = refused(lambda: load("tests.support.models.sources:CallsCuda").run({"x": X.numpy()}))
    assert (error.code, "sources.py" in error.where) == ("model-wants-gpu", True)
    assert refused(lambda: load("tests.support.models.sources:needs_gpu")).code == "model-wants-gpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_in_a_script_is_named_with_its_line_when_run_and_when_inspected():
    torch.jit.script(sources.MakesOnCuda()).save("net.pt")
    error = refused(lambda: load("net.pt", "torchscript").run({"x": X.numpy()}))
    assert error.code == "script-frozen-device"
    assert "cuda:0" in error.what
    assert "sources.py:" in error.what
    found = inspection.inspect(InspectRequest(kind="torchscript", location="net.pt"))
    assert "cuda:0" in found.details["devices"]
    json.dumps(INSPECT.encode_result(found))


def test_a_file_made_before_eval_is_told_as_that():
    model = sources.Trains().train()
    torch.jit.trace(model, X, check_trace=False).save("traced.pt")
    torch.export.save(torch.export.export(model, (X,)), "program.pt2")
    for location, kind in (("traced.pt", "torchscript"), ("program.pt2", "exported_program")):
        loaded = load(location, kind)
        error = refused(lambda loaded=loaded: require_mode(loaded, "eval"))
        assert error.code == "baked-training"
        assert "dropout" in error.what
        require_mode(loaded, "keep")


def test_what_normalizes_each_sample_or_is_scripted_is_not_in_training_mode():
    for model in (sources.Instances().eval(), sources.Trains().eval()):
        shape = (2, 2, 4) if isinstance(model, sources.Instances) else (2, 4)
        for module in (torch.jit.trace(model, torch.rand(shape)), torch.jit.script(model)):
            assert not script_facts.training_operators(module)
    assert not script_facts.training_operators(torch.jit.script(sources.Trains().train()).eval())


@pytest.mark.usefixtures("in_process")
def test_observers_of_quantization_are_told_as_that():
    Path("sources.py").write_text(Path(sources.__file__).read_text())
    model = {"source": "sources:observing", "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 1}
    error = refused(lambda: api.build(Spec.model_validate({"schema": 1, "models": {"m": model}})))
    assert error.code == "quantization-observers"
    assert "nan" not in error.found


def test_an_error_of_torchscript_is_told_without_its_own_text_of_the_model():
    torch.jit.script(sources.Adds()).save("net.pt")
    error = refused(lambda: load("net.pt", "torchscript").run({"x": X.numpy()}))
    assert "HERE" not in error.found
    assert "size of tensor" in error.found
    assert error.where.startswith("sources.py:")


def test_other_errors_keep_their_last_lines():
    assert script_errors.last_lines("one\n\n two \nthree\nfour") == "two / three / four"
    assert script_errors.user_line("RuntimeError: no") is None
