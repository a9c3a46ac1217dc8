"""Operators of PyTorch that do more than arithmetic, by name; decided for each operator that torch 2.13 registers.

A test (`test_hostile_models.py`) walks over every schema that is registered and fails where one that takes text is in neither
list, so that a new PyTorch brings its new operators to somebody's eyes.
"""

from __future__ import annotations

OPENS_FILES = "opens or writes files"
OTHER_PROCESSES = "talks to other processes"
RUNS_PYTHON = "runs Python code"
RAW_MEMORY = "reads memory as it lies"

OPERATORS = {
    "aten::from_file": OPENS_FILES,
    "aten::save": OPENS_FILES,
    "debugprims::load_tensor": OPENS_FILES,
    "prim::rpc_async": OTHER_PROCESSES,
    "prim::rpc_remote": OTHER_PROCESSES,
    "prim::rpc_sync": OTHER_PROCESSES,
    "prim::PythonOp": RUNS_PYTHON,
    "prim::IgnoredPythonOp": RUNS_PYTHON,
    # Of libraries that a file of operators may have loaded: torchvision, torchaudio, torchcodec.
    "image::read_file": OPENS_FILES,
    "image::write_file": OPENS_FILES,
    "torchcodec_ns::create_from_file": OPENS_FILES,
    "torchcodec_ns::encode_audio_to_file": OPENS_FILES,
    "torchcodec_ns::encode_video_to_file": OPENS_FILES,
}
"""Operator, without its overload, to why it is refused."""

NAMESPACES = {
    "c10d": OTHER_PROCESSES,
    "c10d_functional": OTHER_PROCESSES,
    "_c10d_functional": OTHER_PROCESSES,
    "_c10d_functional_autograd": OTHER_PROCESSES,
    "_dtensor": OTHER_PROCESSES,
    "symm_mem": OTHER_PROCESSES,
    "inductor": RAW_MEMORY,
    "torchaudio_sox": OPENS_FILES,
    "torchaudio_ffmpeg": OPENS_FILES,
    "torio_ffmpeg": OPENS_FILES,
    "video_reader": OPENS_FILES,
}
"""Namespaces refused as a whole."""

HARMLESS_TEXT = frozenset(
    {
        "_test::get_first",
        "debug_mode_ops::annotate",
        "export::access_subclass_inner_tensor",
        "prim::AddStatValue",
        "prim::ModuleContainerIndex",
        "prim::RaiseException",
        "prim::StringIndex",
        "profiler::_record_function_enter",
        "profiler::_record_function_enter_new",
    }
)
"""Operators outside `aten` and the kernels' namespaces that take text and do nothing with it outside the model."""

CLASSES = ("quantized.", "rnn.CellParamsBase", "sparse.LinearPackedParamsBase", "mkldnn.ConvOpContext", "xnnpack.")
"""Classes of C++ that a model file may hold: packed weights. Whatever else is made by a class's own code at load."""

METHODS = frozenset(name.rpartition("::")[2] for name in OPERATORS if name.startswith("aten::"))
"""What the operators are called as methods of a tensor, or below `torch`."""


def reason(operator: str) -> str | None:
    """Why an operator `namespace::name` is refused, with or without `.overload`; `None` where it is not."""
    name = operator.split(".", 1)[0]
    return OPERATORS.get(name) or NAMESPACES.get(name.partition("::")[0])


def class_allowed(name: str) -> bool:
    """Whether a class below `torch.classes` may be in a model file."""
    return name.startswith(CLASSES)
