"""The code that builds and runs plans, and the GPU suite, use only members that every supported TensorRT has, with valid arguments.

`tests/support/tensorrt_api` lists the classes, members and signatures of the bindings of TensorRT 8.6.1, 10.0.1, 10.16.1.11 and
11.4.0.106. `scripts/tensorrt_api.py` reads them from the imported bindings; the libraries, which are not on PyPI, are not needed.
TensorRT-RTX is installed, and its bindings are inspected directly. These tests do not execute the calls.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from gpu import steps
from tests.support.command import CHECKOUT
from tritonize.backends.plans import runner
from tritonize.plans.worker import build_plan, builder_config, serialization, timing_cache, trt_network
from tritonize.spec.builder import Settings

BINDINGS = CHECKOUT / "tests" / "support" / "tensorrt_api"
VERSIONS = ("8.6.1", "10.0.1", "10.16.1.11", "11.4.0.106", "rtx")

COMMON = {
    "trt": "",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "flags": "OnnxParserFlag",
    "formats": "LayerInformationFormat",
    "inspector": "EngineInspector",
    "kinds": "NetworkDefinitionCreationFlag",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "registry": "IPluginRegistry",
    "runtime": "Runtime",
    "said": "ParserError",
    "strategies": "DynamicShapesKernelSpecializationStrategy",
}
"""Variable name in the tested modules to the TensorRT class of its value."""
SOURCES = {
    build_plan: {},
    builder_config: {},
    trt_network: {},
    serialization: {},
    timing_cache: {"cache": "ITimingCache", "known": "ITimingCache"},
    runner: {"config": "IRuntimeConfig"},
    steps: {"engine": None, "context": None},  # objects of tritonize's runner
}
"""The tested modules, each with the variable names whose class differs from `COMMON`."""
OTHER = {"nvinfer1::IEngineInspector": "EngineInspector", "nvonnxparser::IParserError": "ParserError"}
"""C++ name in a signature to the class in the bindings."""

GUARDED: dict[str, set[str]] = {
    "NetworkDefinitionCreationFlag": {"EXPLICIT_BATCH", "STRONGLY_TYPED"},
    "OnnxParser": {"supports_model_v2"},
    "Builder": {"build_serialized_network_to_stream"},
    "": {"IProgressMonitor", "IStreamWriter", "ComputeCapability"},
    "IBuilderConfig": {"progress_monitor", "num_compute_capabilities", "set_compute_capability"},
    "IPluginRegistry": {"all_creators", "plugin_creator_list"},
    "ParserError": {"node_operator", "node_name"},
    "MemoryPoolType": {"TACTIC_SHARED_MEMORY"},
    "BuilderFlag": {"STRIP_PLAN", "WEIGHT_STREAMING"},
    "HardwareCompatibilityLevel": {"SAME_COMPUTE_CAPABILITY"},
    "ICudaEngine": {"create_runtime_config"},
    "IRuntimeConfig": {"dynamic_shapes_kernel_specialization_strategy"},
    "DynamicShapesKernelSpecializationStrategy": {"EAGER"},
}
"""Class to members that some versions lack; the code checks for them with `hasattr`, or the table of settings refuses them."""
GUARDED_CALL = ("ICudaEngine", "create_execution_context", 1)
"""A call with a runtime configuration, which the code makes only if the module has that class."""


class Use(NamedTuple):
    """One use of a member of a TensorRT class."""

    kind: str
    """The class."""
    member: str
    arguments: int | None
    """Number of arguments of the call; `None` if it is not a call or the number is unknown."""
    where: str
    """File and line of the use."""


@cache
def api(version: str) -> dict[str, dict[str, list[str]]]:
    """Return the bindings of a version: class to member to signatures."""
    if version != "rtx":
        return json.loads((BINDINGS / f"{version}.json").read_text())
    import tensorrt_rtx

    spec = importlib.util.spec_from_file_location("tensorrt_api", CHECKOUT / "scripts" / "tensorrt_api.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.described(tensorrt_rtx)


def returned(version: str, kind: str, member: str) -> str | None:
    """Return the TensorRT class that a member returns; `None` if it is not a TensorRT class or the signature does not name it."""
    if not kind and member in api(version):
        return member
    for signature in api(version).get(kind, {}).get(member, []):
        name = signature.rpartition("-> ")[2]
        name = OTHER.get(name, name.rpartition(".")[2])
        if name in api(version):
            return name
    return None


def kind_of(version: str, node: ast.expr, names: dict[str, str | None]) -> str | None:
    """Return the TensorRT class of an expression's value; `None` if it has none."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Call):
        return kind_of(version, node.func, names)
    if isinstance(node, ast.Attribute):
        kind = kind_of(version, node.value, names)
        return None if kind is None else returned(version, kind, node.attr)
    return None


def uses(version: str) -> Iterator[Use]:
    """Yield every use of a member of a TensorRT class in the tested modules."""
    for module, own in SOURCES.items():
        tree, names = ast.parse(Path(module.__file__).read_text()), COMMON | own
        called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
                kind = kind_of(version, node.value, names)
                if kind is not None:
                    call = called.get(id(node))
                    unknown = call is None or any(isinstance(each, ast.Starred) for each in call.args)
                    given = None if unknown else len(call.args) + len(call.keywords)
                    yield Use(kind, node.attr, given, f"{Path(module.__file__).name}:{node.lineno}")
    yield from tabled()


def tabled() -> Iterator[Use]:
    """Yield the members that the tested modules access by names in tables."""
    for name in builder_config._FLAGS.values():
        yield Use("BuilderFlag", name, None, "_FLAGS")
    for pool, _ in builder_config._POOLS.values():
        yield Use("MemoryPoolType", pool, None, "_POOLS")
    for each in get_args(Settings.model_fields["hardware_compatibility"].annotation):
        for level in get_args(each):
            yield Use("HardwareCompatibilityLevel", level.upper(), None, "settings")


def takes(signature: str, given: int) -> bool:
    """Return whether a signature accepts `given` arguments besides self."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    while (plain := re.sub(r"\[[^\[\]]*\]|<[^<>]*>|\([^()]*\)", "", inside)) != inside:
        inside = plain  # commas inside types and values do not separate parameters
    parameters = [each for each in inside.split(",") if each.strip() and not each.strip().startswith("self:")]
    return len([each for each in parameters if "=" not in each]) <= given <= len(parameters)


def test_the_uses_are_found():
    found = {(each.kind, each.member, each.arguments) for each in uses("11.4.0.106")}
    built = {("OnnxParser", "parse_from_file", 1), ("IBuilderConfig", "add_optimization_profile", 1), ("BuilderFlag", "TF32", None)}
    on_results = {("IPluginRegistry", "load_library", 1), ("ParserError", "desc", 0), ("ITimingCache", "combine", 2)}
    run = {("IExecutionContext", "execute_async_v3", 1), ("Runtime", "deserialize_cuda_engine", 1), ("", "IOutputAllocator", None)}
    assert built | on_results | run <= found
    assert len(found) > 70


@pytest.mark.parametrize("version", VERSIONS)
def test_every_used_member_exists(version):
    known = api(version)
    there = {"": {*known, *known[""]}} | {kind: set(members) for kind, members in known.items() if kind}
    excused = {(kind, name) for kind, names in GUARDED.items() for name in names}
    assert {(each.kind, each.member) for each in uses(version) if each.member not in there.get(each.kind, ())} <= excused


@pytest.mark.parametrize("version", VERSIONS)
def test_calls_have_a_valid_number_of_arguments(version):
    wrong = []
    for each in uses(version):
        signatures = api(version).get(each.kind, {}).get(each.member, [])
        if each[:3] == GUARDED_CALL and "IRuntimeConfig" not in api(version):
            continue
        if each.arguments is not None and signatures and not any(takes(signature, each.arguments) for signature in signatures):
            wrong.append((each, signatures))
    assert not wrong


def test_every_exception_is_missing_in_some_version():
    everywhere = [(kind, name) for kind, names in GUARDED.items() for name in names]
    assert not [
        (kind, name)
        for kind, name in everywhere
        if all(name in api(version).get(kind, {}) or (not kind and name in api(version)) for version in VERSIONS)
    ]


def test_arguments_are_counted():
    assert takes("f(self: tensorrt.X, a: int, b: Tuple[int, int] = (1, 2)) -> bool", 1)
    assert takes("f(self: tensorrt.X, a: int, b: Tuple[int, int] = (1, 2)) -> bool", 2)
    assert not takes("f(self: tensorrt.X, a: int, b: Tuple[int, int] = (1, 2)) -> bool", 3)
    assert not takes("f(self: tensorrt.X, a: int, b: E = <E.STATIC: 0>) -> bool", 0)
    assert takes("f() -> tensorrt.X", 0)


def derived() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the methods of subclasses of TensorRT classes, which TensorRT calls."""
    for module in SOURCES:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            bases = [base.attr for base in getattr(node, "bases", []) if isinstance(base, ast.Attribute)]
            if isinstance(node, ast.ClassDef) and bases:
                yield from ((bases[0], each) for each in node.body if isinstance(each, ast.FunctionDef))


@pytest.mark.parametrize("version", VERSIONS)
def test_methods_that_tensorrt_calls_have_its_names_and_arguments(version):
    """Only the bindings of 8.6 list the methods of an output allocator; `write` is left out: it takes bytes as one argument."""
    seen = set()
    for kind, method in derived():
        listed = api(version).get(kind, {})
        if method.name in listed and method.name not in ("__init__", "write"):
            seen.add((kind, method.name))
            assert any(takes(each, len(method.args.args) - 1) for each in listed[method.name]), (kind, method.name)
    assert ("ILogger", "log") in seen
    if "IProgressMonitor" in api(version):
        assert {("IProgressMonitor", name) for name in ("phase_start", "phase_finish", "step_complete")} <= seen
    if version == "8.6.1":
        assert {("IOutputAllocator", name) for name in ("reallocate_output", "notify_shape")} <= seen


@pytest.mark.parametrize("version", VERSIONS)
def test_every_served_type_exists_in_the_module(version):
    lacking = {"8.6.1": {"BF16", "INT64"}}.get(version, set())
    assert set(runner.NUMPY) - set(api(version)["DataType"]) == lacking
