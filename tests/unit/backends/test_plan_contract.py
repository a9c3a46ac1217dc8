"""What builds and runs plans, the GPU suite too, uses nothing that a supported TensorRT lacks, and calls it with what it takes.

`tests/support/tensorrt_api` holds what the bindings of TensorRT 8.6.1, 10.0.1, 10.16.1.11 and 11.4.0.106 have: classes, members and
signatures, as `scripts/tensorrt_api.py` reads them off the imported bindings, without the libraries, which are not on PyPI.
TensorRT-RTX is installed and looked into itself. What the calls do is not seen here.
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
"""What the cores call the objects of the module, to their classes."""
SOURCES = {
    build_plan: {},
    builder_config: {},
    trt_network: {},
    serialization: {},
    timing_cache: {"cache": "ITimingCache", "known": "ITimingCache"},
    runner: {"config": "IRuntimeConfig"},
    steps: {"engine": None, "context": None},  # the runner's
}
"""The cores and the GPU suite, and what they call otherwise."""
OTHER = {"nvinfer1::IEngineInspector": "EngineInspector", "nvonnxparser::IParserError": "ParserError"}
"""Classes under the names that signatures have for them."""

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
"""What some lack: asked for with `hasattr` first, refused by the table of settings, or of the targets that RTX alone takes."""
GUARDED_CALL = ("ICudaEngine", "create_execution_context", 1)
"""With a configuration, where the module has those."""


class Use(NamedTuple):
    """A member that a core takes of a class; with how many arguments it is called."""

    kind: str
    member: str
    arguments: int | None
    where: str


@cache
def api(version: str) -> dict[str, dict[str, list[str]]]:
    """Class to member to signatures."""
    if version != "rtx":
        return json.loads((BINDINGS / f"{version}.json").read_text())
    import tensorrt_rtx

    spec = importlib.util.spec_from_file_location("tensorrt_api", CHECKOUT / "scripts" / "tensorrt_api.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.described(tensorrt_rtx)


def answered(version: str, kind: str, member: str) -> str | None:
    """The class of what a member answers; `None` where that is no class of the module's, or nobody says."""
    if not kind and member in api(version):
        return member
    for signature in api(version).get(kind, {}).get(member, []):
        name = signature.rpartition("-> ")[2]
        name = OTHER.get(name, name.rpartition(".")[2])
        if name in api(version):
            return name
    return None


def kind_of(version: str, node: ast.expr, names: dict[str, str | None]) -> str | None:
    """The class of an expression."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Call):
        return kind_of(version, node.func, names)
    if isinstance(node, ast.Attribute):
        kind = kind_of(version, node.value, names)
        return None if kind is None else answered(version, kind, node.attr)
    return None


def uses(version: str) -> Iterator[Use]:
    """Every member of a class of the module's that a core takes."""
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
    """What the cores take by a name that is in a table of theirs."""
    for name in builder_config._FLAGS.values():
        yield Use("BuilderFlag", name, None, "_FLAGS")
    for pool, _ in builder_config._POOLS.values():
        yield Use("MemoryPoolType", pool, None, "_POOLS")
    for each in get_args(Settings.model_fields["hardware_compatibility"].annotation):
        for level in get_args(each):
            yield Use("HardwareCompatibilityLevel", level.upper(), None, "settings")


def takes(signature: str, given: int) -> bool:
    """Whether a function takes so many arguments beside itself."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    while (plain := re.sub(r"\[[^\[\]]*\]|<[^<>]*>|\([^()]*\)", "", inside)) != inside:
        inside = plain  # commas inside types and values are none between parameters
    parameters = [each for each in inside.split(",") if each.strip() and not each.strip().startswith("self:")]
    return len([each for each in parameters if "=" not in each]) <= given <= len(parameters)


def test_what_the_cores_use_is_found():
    found = {(each.kind, each.member, each.arguments) for each in uses("11.4.0.106")}
    built = {("OnnxParser", "parse_from_file", 1), ("IBuilderConfig", "add_optimization_profile", 1), ("BuilderFlag", "TF32", None)}
    of_answers = {("IPluginRegistry", "load_library", 1), ("ParserError", "desc", 0), ("ITimingCache", "combine", 2)}
    run = {("IExecutionContext", "execute_async_v3", 1), ("Runtime", "deserialize_cuda_engine", 1), ("", "IOutputAllocator", None)}
    assert built | of_answers | run <= found
    assert len(found) > 70


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_used_that_a_version_lacks(version):
    known = api(version)
    there = {"": {*known, *known[""]}} | {kind: set(members) for kind, members in known.items() if kind}
    excused = {(kind, name) for kind, names in GUARDED.items() for name in names}
    assert {(each.kind, each.member) for each in uses(version) if each.member not in there.get(each.kind, ())} <= excused


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_is_called_with_what_it_takes(version):
    wrong = []
    for each in uses(version):
        signatures = api(version).get(each.kind, {}).get(each.member, [])
        if each[:3] == GUARDED_CALL and "IRuntimeConfig" not in api(version):
            continue
        if each.arguments is not None and signatures and not any(takes(signature, each.arguments) for signature in signatures):
            wrong.append((each, signatures))
    assert not wrong


def test_what_is_excused_is_missing_somewhere():
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
    """The methods that the cores write for classes of the module's to be called by it."""
    for module in SOURCES:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            bases = [base.attr for base in getattr(node, "bases", []) if isinstance(base, ast.Attribute)]
            if isinstance(node, ast.ClassDef) and bases:
                yield from ((bases[0], each) for each in node.body if isinstance(each, ast.FunctionDef))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_module_calls_has_the_modules_names(version):
    """Where the bindings show them; those of an output allocator only 8.6 does, and bytes come to `write` as one argument."""
    seen = set()
    for kind, method in derived():
        shown = api(version).get(kind, {})
        if method.name in shown and method.name not in ("__init__", "write"):
            seen.add((kind, method.name))
            assert any(takes(each, len(method.args.args) - 1) for each in shown[method.name]), (kind, method.name)
    assert ("ILogger", "log") in seen
    if "IProgressMonitor" in api(version):
        assert {("IProgressMonitor", name) for name in ("phase_start", "phase_finish", "step_complete")} <= seen
    if version == "8.6.1":
        assert {("IOutputAllocator", name) for name in ("reallocate_output", "notify_shape")} <= seen


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_that_is_served_is_one_of_the_modules(version):
    lacking = {"8.6.1": {"BF16", "INT64"}}.get(version, set())
    assert set(runner.NUMPY) - set(api(version)["DataType"]) == lacking
