"""Give a server that serves TensorRT plans access to the GPU and to the installed TensorRT packages.

A server without plans sees no GPU: Triton would otherwise place instances of ONNX models on it, although ONNX Runtime runs on the
CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tritonize.backends.plans import cuda
from tritonize.core import bounded_files

MODULES = ("tensorrt", "tensorrt_rtx")
_PLAN = re.compile(
    r"""^[^#\n]*\b(?:backend\s*:\s*["'](?:tensorrt|tensorrt_rtx)["']|platform\s*:\s*["']tensorrt_plan["'])""", re.MULTILINE
)
_LOADER_FOLDERS = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_PASSED = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING", "NVIDIA_VISIBLE_DEVICES")
_KIND_GPU = re.compile(r"^[^#\n]*\bkind\s*:\s*KIND_GPU\b", re.MULTILINE)
_GPUS = re.compile(r"^[^#\n]*\bgpus\s*:", re.MULTILINE)


def serves_plans(repository: Path, models: Sequence[str] | None) -> bool:
    """Whether the configuration of one of the models (all) says that it is served from a plan."""
    return any(map(is_plan, _texts(repository, models)))


def is_plan(configuration: str) -> bool:
    """Whether the text of a configuration says that its model is served from a plan."""
    return _PLAN.search(configuration) is not None


def names_gpus(repository: Path, models: Sequence[str] | None) -> bool:
    """Whether the configuration of one of the models (all) names the GPUs of its instances."""
    return any(map(_GPUS.search, _texts(repository, models)))


def wants_gpu(repository: Path, models: Iterable[str]) -> bool:
    """Whether the configuration of one of the models places instances on a GPU."""
    return any(map(_KIND_GPU.search, _texts(repository, tuple(models))))


def needs_gpu(refusal: str) -> bool:
    """Whether the server refused a model because there is no GPU.

    Our backends put a code into their texts. Triton's core has no codes, so its sentence is matched; a test with the real server
    fails if it changes. Source: triton-inference-server/core, `src/model_config_utils.cc` (`ValidateInstanceGroup`).
    """
    return cuda.NO_GPU in refusal or "but no GPUs are available" in refusal


def _texts(repository: Path, models: Sequence[str] | None) -> Iterator[str]:
    names = models if models is not None else [each.name for each in repository.iterdir() if each.is_dir()]
    for name in names:
        with contextlib.suppress(OSError, ValueError):  # the server reports what is wrong with it
            yield bounded_files.text(repository / name / "config.pbtxt")


def variables(*, plugins: Sequence[Path] = (), every_gpu: bool = False) -> dict[str, str]:
    """Environment variables that give the backends this process's GPUs, driver, TensorRT and plugins, and nothing else.

    Args:
        plugins: paths of plugin libraries, which the plans' metadata names without their folders; the libraries in
            `TRITONIZE_PLUGINS` follow them.
        every_gpu: make all GPUs visible. By default only the first is, because Triton places instances on every visible GPU
            while a plan is built for one GPU model and was verified on the first.
    """
    variables = {name: os.environ[name] for name in _PASSED if name in os.environ}
    if not every_gpu:
        variables["CUDA_VISIBLE_DEVICES"] = variables.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if files := [*(str(each.absolute()) for each in plugins), *_folders("TRITONIZE_PLUGINS")]:
        variables["TRITONIZE_PLUGINS"] = os.pathsep.join(files)
    libraries = _folders("LD_LIBRARY_PATH")  # for a TensorRT outside of Python packages; workers inherit the variable too
    if folders := packages():
        variables["TRITONIZE_TENSORRT"] = os.pathsep.join(folders)
    if named := os.environ.get("TRITONIZE_LIBCUDA"):
        variables["TRITONIZE_LIBCUDA"] = named  # for the backends only; the server finds its own driver, or sees no GPU
        libraries = [each for each in libraries if each != str(Path(named).absolute().parent)]
    elif driver := _libcuda():
        variables["TRITONIZE_LIBCUDA"] = driver
        if not driver.startswith(_LOADER_FOLDERS):
            libraries.insert(0, str(Path(driver).parent))  # the server itself loads the driver too
    if libraries:
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(dict.fromkeys(libraries))
    return variables


def _folders(variable: str) -> list[str]:
    """The absolute paths in a variable that is formatted like PATH; absolute because the server runs in another folder."""
    return [str(Path(each).absolute()) for each in os.environ.get(variable, "").split(os.pathsep) if each]


def without_gpu() -> dict[str, str]:
    """Environment variables that hide every GPU from the server."""
    return {"CUDA_VISIBLE_DEVICES": "-1"}


def packages() -> tuple[str, ...]:
    """The folders of the TensorRT packages that are installed with tritonize, found without importing them."""
    folders = []
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            folders.append(str(Path(spec.origin).parents[1]))
    return tuple(dict.fromkeys(folders))


def _libcuda() -> str | None:
    """The path at which the loader finds NVIDIA's driver in this process; the server's environment may not lead there."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/libcuda.so" in path:
            return path
    return None
