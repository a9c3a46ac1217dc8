"""The same models without TensorRT, for comparison: PyTorch eager, torch.compile, ONNX Runtime. TF32 only where the plan has it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu.cases import ROUNDS, WARMUP, Case, items
from gpu.outcomes import NotRun, attempt


def compare_steps(case: Case, _module: str, _folder: Path) -> None:
    """The same model at opt in PyTorch eager, torch.compile and ONNX Runtime, for comparison."""
    batch = case.profiles[0][1]
    inputs, _ = next(items(case, 1, batch))
    attempt(f"{case.name}: time PyTorch eager", lambda: time_torch(case, inputs, compiled=False))
    attempt(f"{case.name}: time torch.compile", lambda: time_torch(case, inputs, compiled=True))
    attempt(f"{case.name}: time ONNX Runtime", lambda: time_onnxruntime(case, inputs))


def time_torch(case: Case, inputs: np.ndarray, *, compiled: bool) -> tuple[str, dict[str, float]]:
    """Milliseconds between two events, on the GPU; TF32 as in the plan."""
    try:
        import torch
    except ImportError:
        raise NotRun("PyTorch is not installed") from None
    if not torch.cuda.is_available():
        raise NotRun(f"PyTorch {torch.__version__} sees no GPU")
    from gpu import networks

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.precision == "tf32"
    module = networks.made(case.network).cuda()
    called = torch.compile(module) if compiled else module
    x = torch.from_numpy(inputs).cuda()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    taken = []
    with torch.inference_mode():
        for number in range(WARMUP + ROUNDS):
            start.record()
            answer(called, x, compiled=compiled)
            end.record()
            end.synchronize()
            if number >= WARMUP:
                taken.append(start.elapsed_time(end))
    middle = statistics.median(taken)
    return f"{middle:.3f} ms, PyTorch {torch.__version__}", {"ms": middle}


def answer(called: Callable[..., Any], x: Any, *, compiled: bool) -> None:
    """One run; that torch.compile lacks something here, such as a C compiler, is no failure of a plan."""
    try:
        called(x)
    except Exception as error:
        if not compiled:
            raise
        raise NotRun(f"torch.compile does not work here: {type(error).__name__}: {error}") from error


def time_onnxruntime(case: Case, inputs: np.ndarray) -> tuple[str, dict[str, float]]:
    """Milliseconds of a run, on its CUDA provider alone: a time of the CPU would be no comparison."""
    try:
        import onnxruntime
    except ImportError:
        raise NotRun("ONNX Runtime is not installed") from None
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise NotRun(f"ONNX Runtime {onnxruntime.__version__} has no CUDA provider")
    options = {"use_tf32": "1" if case.precision == "tf32" else "0"}
    try:
        session = onnxruntime.InferenceSession(str(case.onnx), providers=[("CUDAExecutionProvider", options)])
    except Exception as error:
        raise NotRun(f"ONNX Runtime {onnxruntime.__version__} does not take the file: {error}".split("\n")[0]) from error
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise NotRun("ONNX Runtime's CUDA provider does not start here")
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(inputs, "cuda", 0))
    binding.bind_output("y", "cuda")
    taken = []
    for number in range(WARMUP + ROUNDS):
        started = time.perf_counter()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        if number >= WARMUP:
            taken.append((time.perf_counter() - started) * 1e3)
    middle = statistics.median(taken)
    return f"{middle:.3f} ms by the host's clock, {onnxruntime.__version__}", {"ms": middle}
