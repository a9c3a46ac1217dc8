"""PyTorch operators that do more than arithmetic, by name. The lists cover every operator that torch 2.13 registers.

A test (`test_hostile_models.py`) reads every registered schema and fails if an operator that takes text is in neither list, so
that the new operators of a new PyTorch are reviewed.
"""

from __future__ import annotations

OPENS_FILES = "opens or writes files"
OTHER_PROCESSES = "communicates with other processes"
RUNS_PYTHON = "runs Python code"
RAW_MEMORY = "reinterprets raw memory"

OPERATORS = {
    "aten::from_file": OPENS_FILES,
    "aten::save": OPENS_FILES,
    "debugprims::load_tensor": OPENS_FILES,
    "prim::rpc_async": OTHER_PROCESSES,
    "prim::rpc_remote": OTHER_PROCESSES,
    "prim::rpc_sync": OTHER_PROCESSES,
    "prim::PythonOp": RUNS_PYTHON,
    "prim::IgnoredPythonOp": RUNS_PYTHON,
    # Operators of torchvision, torchaudio and torchcodec, which an operators file may have loaded.
    "image::read_file": OPENS_FILES,
    "image::write_file": OPENS_FILES,
    "torchcodec_ns::create_from_file": OPENS_FILES,
    "torchcodec_ns::encode_audio_to_file": OPENS_FILES,
    "torchcodec_ns::encode_video_to_file": OPENS_FILES,
}
"""Operator without its overload, to the reason for refusing it."""

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
"""Namespace to the reason for refusing all of its operators."""

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
"""Operators outside `aten` and the kernels' namespaces that take text, and whose text has no effect outside the model."""

CLASSES = ("quantized.", "rnn.CellParamsBase", "sparse.LinearPackedParamsBase", "mkldnn.ConvOpContext", "xnnpack.")
"""C++ classes that a model file may contain: packed weights. The load runs the code of every other class."""

METHODS = frozenset(name.rpartition("::")[2] for name in OPERATORS if name.startswith("aten::"))
"""Names of the refused `aten` operators as methods of a tensor or functions of `torch`."""


def reason(operator: str) -> str | None:
    """The reason for refusing an operator `namespace::name`, with or without `.overload`; `None` for an allowed one."""
    name = operator.split(".", 1)[0]
    return OPERATORS.get(name) or NAMESPACES.get(name.partition("::")[0])


def class_allowed(name: str) -> bool:
    """Whether a model file may contain this class of `torch.classes`."""
    return name.startswith(CLASSES)
