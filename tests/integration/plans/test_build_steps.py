"""The calls that a build makes on TensorRT, for every setting: they decide a plan's bytes, so their number is in its cache key."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.command import CHECKOUT
from tritonize.plans import builder, gpu, plan_cache
from tritonize.plans.request import BuildRequest
from tritonize.plans.tasks import BuilderSettings, PlanBuildRequest
from tritonize.plans.worker import build_plan
from tritonize.spec.builder import Settings

GOLDEN = CHECKOUT / "tests" / "support" / "golden" / f"build_steps_{plan_cache.BUILD_STEPS}.txt"
SHAPES = {"min": (1, 3), "opt": (2, 3), "max": (4, 3)}
SETTINGS = {
    "workspace_mib": 64,
    "tactic_shared_memory_kib": 48,
    "optimization_level": 2,
    "max_aux_streams": 1,
    "tf32": True,
    "timing_cache": True,
    "hardware_compatibility": "ampere_plus",
    "version_compatible": True,
    "strip_plan": True,
    "refit": True,
    "weight_streaming": True,
    "detailed_profiling": True,
    "plugins": (Path("p.so"),),
}
NEW = {"build_serialized_network_to_stream", "OnnxParserFlag", "STRONGLY_TYPED", "IProgressMonitor", "init_libnvinfer_plugins"}


class Recorded:
    """Any object of the module: it writes down its calls and assignments, and has every name but the ones in `absent`."""

    def __init__(self, name: str, lines: list[str], absent: frozenset[str], known: dict[str, object]) -> None:
        self.__dict__.update(_name=name, _lines=lines, _absent=absent, _known=known)

    def __getattr__(self, name: str) -> object:
        if name in self._absent or name.startswith("__"):
            raise AttributeError(name)
        return self._known.get(name) or Recorded(f"{self._name}.{name}", self._lines, self._absent, self._known)

    def __setattr__(self, name: str, value: object) -> None:
        self._lines.append(f"{self._name}.{name} = {shown(value)}")

    def __call__(self, *given: object) -> object:
        self._lines.append(f"{self._name}({', '.join(map(shown, given))})")
        made = self._name.rpartition(".")[2].removeprefix("create_").lower()
        return Recorded(made, self._lines, self._absent, self._known)

    def __int__(self) -> int:
        return 1

    def __lt__(self, _: object) -> bool:
        return False


def shown(value: object) -> str:
    if isinstance(value, Recorded):
        return value._name
    if isinstance(value, list | tuple):
        return repr(list(value))
    return repr(value) if value is None or isinstance(value, str | int) else type(value).__name__


class Base:
    """A class of the module that the worker derives from."""


def module(lines: list[str], absent: frozenset[str]) -> Recorded:
    shape = SimpleNamespace(name="x", dtype=enum.Enum("DataType", "FLOAT").FLOAT, shape=(-1, 3))

    def to_stream(network: Recorded, config: Recorded, stream: object) -> bool:
        lines.append("builder.build_serialized_network_to_stream(network, config, Stream)")
        return stream.write(b"plan") == 4

    def whole(network: Recorded, config: Recorded) -> bytes:
        lines.append("builder.build_serialized_network(network, config)")
        return b"plan"

    known: dict[str, object] = {
        **dict.fromkeys(("ILogger", "IStreamWriter", "IProgressMonitor"), Base),
        "num_inputs": 1,
        "num_outputs": 1,
        "get_input": lambda _: shape,
        "get_output": lambda _: shape,
        "build_serialized_network_to_stream": to_stream,
        "build_serialized_network": whole,
        "serialize": lambda: b"timings",
        "__version__": "0",
    }
    found = Recorded("trt", lines, absent, known)
    found.__dict__.update(__name__="tensorrt", __version__="0")
    return found


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu(name="a GPU", compute_capability="8.9", driver="550", cuda="12.4"))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), "m.onnx")

    def trace(target: str | None = None, absent: frozenset[str] = frozenset(), **settings: object) -> list[str]:
        lines: list[str] = []
        monkeypatch.setitem(sys.modules, "tensorrt", module(lines, absent))
        timings = settings.pop("timing_cache", False)
        build(target, settings, Path("timings/a.cache") if timings else None)
        return lines

    return trace


def build(target: str | None, settings: dict[str, object], timings: Path | None) -> None:
    build_plan.build(
        PlanBuildRequest(
            onnx=Path("m.onnx"),
            module="tensorrt",
            compute_capability=target,
            profiles=({"x": SHAPES},),
            settings=BuilderSettings(**settings),
            node_map=None,
            plan=Path("m.plan"),
            log=Path("m.log"),
            timing_cache=timings,
        )
    )


def changed(before: list[str], after: list[str]) -> list[str]:
    return [line for line in difflib.ndiff(before, after) if line[0] in "+-"]


def test_the_number_of_the_build_steps_is_raised_with_the_calls(traced):
    """Where this fails: raise `plan_cache.BUILD_STEPS`, and rename and update the file of the calls."""
    assert set(SETTINGS) == set(Settings.model_fields) == {each.name for each in dataclasses.fields(BuilderSettings)}
    plain = traced()
    sections = {"no settings": plain, "an old module": traced(absent=frozenset(NEW))}
    for name, value in SETTINGS.items():
        more = {"version_compatible": True} if name == "plugins" else {}
        sections[name] = changed(plain, traced(**{name: value}, **more))
    sections["compute capability 8.9"] = changed(plain, traced(target="8.9"))
    text = "\n".join(line for title, lines in sections.items() for line in (f"# {title}", *lines, ""))
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_key_of_a_plan_depends_on_the_build_steps_and_not_on_source_files(monkeypatch):
    """The number is in the key, and no file of the package is read for it."""
    job = builder._Job(BuildRequest(onnx=Path("m.onnx")), "1.0", lambda: "digest", "8.9", Path("m.plan"), None, threading.Event())
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    before = job.key()
    monkeypatch.setattr(plan_cache, "BUILD_STEPS", plan_cache.BUILD_STEPS + 1)
    assert job.key() != before
