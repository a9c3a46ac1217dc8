"""The core that builds plans uses no name that a supported TensorRT lacks.

`tests/tensorrt_symbols` holds the names in the bindings of TensorRT 10.16 and 11.4: the NUL-terminated identifiers of
`tensorrt_bindings/tensorrt.so` in the wheels `tensorrt_cu13_bindings`. TensorRT itself is not on PyPI, so the core was not
run against them. TensorRT-RTX is installed and asked itself.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from tritonize.plan_settings import Settings
from tritonize.runtime.backends.plans import runner
from tritonize.workers import plan, plan_config, plan_network, plan_output, timing_cache

HERE = Path(__file__).parent
OBJECTS = {"trt", "builder", "config", "parser", "network", "profile", "registry", "said", "tensor", "kinds", "cache", "known"}
"""What the core calls the objects of the module; what a call of theirs answers is one too."""
NOT_THEIRS = {"note", "__init__"}
"""What the core adds to the classes that it derives from the module's."""
OWN = {"name", "dtype", "shape"}  # of tensors; too short and common to be looked for in a binary
GUARDED = {"EXPLICIT_BATCH", "STRONGLY_TYPED", "supports_model_v2", "build_serialized_network_to_stream", "IProgressMonitor"}
"""Asked for with hasattr, since 8.6 or 11 lacks them."""
RTX_ALONE = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"}
"""Used where a target is named, which the table refuses for TensorRT."""


def used() -> set[str]:
    """Every name of the module that the core uses."""
    trees = [
        ast.parse(Path(module.__file__).read_text()) for module in (plan, plan_config, plan_network, plan_output, timing_cache)
    ]
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and root(node) in OBJECTS:
            names.add(node.attr)
        if isinstance(node, ast.ClassDef) and any(root(base) == "trt" for base in node.bases):
            names.update(each.name for each in node.body if isinstance(each, ast.FunctionDef) and each.name not in NOT_THEIRS)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "_member"):
            names.update(each.value for each in node.args if isinstance(each, ast.Constant) and each.value.isidentifier())
    names.update(plan_config._FLAGS.values())
    names.update(pool for pool, _ in plan_config._POOLS.values())
    levels = get_args(Settings.model_fields["hardware_compatibility"].annotation)
    names.update(level.upper() for each in levels for level in get_args(each))
    return {name for name in names if not name.startswith("__")} - OWN


def root(node: ast.expr) -> str | None:
    """The name that a chain of attributes and calls begins with."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else None


RUNNER_OBJECTS = {"trt", "runtime", "engine", "context", "inspector", "formats", "registry", "logger"}
"""What the core that runs engines calls the objects of the module."""
RUNNER_OWN = {
    "stream",
    "last",
    "raw",
    "device",
    "inputs",
    "limits",
    "outputs",
    "output_shape",
    "profile",
    "refusal",
    "distance",
    "why",
}
RUNNER_OVERRIDES = {"reallocate_output", "reallocate_output_async", "notify_shape"}
"""What TensorRT calls on an output allocator; the first is 8.6's."""


def used_to_run() -> set[str]:
    """Every name of the module that the core uses which runs engines, for proofs and for serving."""
    names = set(RUNNER_OVERRIDES)
    for node in ast.walk(ast.parse(Path(runner.__file__).read_text())):
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(node, ast.Attribute) and isinstance(root, ast.Name) and root.id in RUNNER_OBJECTS:
            names.add(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr":
            names.update(each.value for each in node.args if isinstance(each, ast.Constant))
    return {name for name in names if not name.startswith("__")} - RUNNER_OWN - set(runner.NUMPY)


def test_the_list_is_what_the_runner_uses():
    asked = {"deserialize_cuda_engine", "execute_async_v3", "set_input_shape", "get_tensor_profile_shape", "IOutputAllocator"}
    assert asked | {"get_engine_information", "execution_context", "ONELINE", "infer_shapes"} <= used_to_run()


@pytest.mark.parametrize("version", ["10.16.1.11", "11.4.0.106"])
def test_no_name_of_the_runner_is_missing_in_tensorrt(version):
    known = (HERE / "tensorrt_symbols" / f"{version}.txt").read_text()
    assert {name for name in used_to_run() if f"{name}\n" not in known} <= GUARDED
    for name in runner.NUMPY:
        assert f"{name}\n" in known


def test_no_name_of_the_runner_is_missing_in_tensorrt_rtx():
    import tensorrt_rtx

    classes = [each for each in vars(tensorrt_rtx).values() if isinstance(each, type)]
    known = {name for each in (tensorrt_rtx, *classes) for name in dir(each)}
    assert used_to_run() - known - RUNNER_OVERRIDES == set()


def test_the_list_is_what_the_core_uses():
    assert {"OnnxParser", "parse_from_file", "TF32", "set_memory_pool_limit", "WORKSPACE", "add_optimization_profile"} <= used()
    on_answers = {"get_plugin_registry", "load_library", "desc", "node_name", "node_operator"}
    overrides = {"log", "write", "phase_start", "phase_finish", "step_complete"}
    kinds = {"MemoryPoolType", "BuilderFlag", "ComputeCapability", "HardwareCompatibilityLevel"}
    assert on_answers | overrides | kinds | {"AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY", "init_libnvinfer_plugins"} <= used()


@pytest.mark.parametrize("version", ["10.16.1.11", "11.4.0.106"])
def test_no_name_is_missing_in_tensorrt(version):
    known = (HERE / "tensorrt_symbols" / f"{version}.txt").read_text()
    # A linker keeps `Builder` as the end of `IBuilder`, so an end is enough.
    missing = {name for name in used() if f"{name}\n" not in known} - RTX_ALONE
    assert missing <= GUARDED, missing
    for removed in ("FP16", "INT8", "BF16", "FP8", "supports_model", "int8_calibrator"):
        assert removed not in used()


def test_no_name_is_missing_in_tensorrt_rtx():
    import tensorrt_rtx

    def everything(owner: object, depth: int) -> set[str]:
        names = {name for name in dir(owner) if not name.startswith("__")}
        if depth:
            for name in list(names):
                member = getattr(owner, name, None)
                if isinstance(member, type):
                    names |= everything(member, depth - 1)
        return names

    assert used() - everything(tensorrt_rtx, 1) <= GUARDED
