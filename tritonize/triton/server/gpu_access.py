"""What the server needs to serve TensorRT plans: a sight of the GPU, and of the TensorRT that built them.

Without plans the server sees no GPU: its Python backend would be given instances on it, and ONNX Runtime runs on the CPU here.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tritonize.core import bounded_files

MODULES = ("tensorrt", "tensorrt_rtx")
_PLAN = re.compile(r'^\s*(?:backend\s*:\s*"(?:tensorrt|tensorrt_rtx)"|platform\s*:\s*"tensorrt_plan")', re.MULTILINE)
_LOADER_FOLDERS = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_PASSED = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING", "NVIDIA_VISIBLE_DEVICES")
_GPUS = re.compile(r"^[^#\n]*\bgpus\s*:", re.MULTILINE)


def wanted(repository: Path, models: Sequence[str] | None) -> bool:
    """Whether one of the models, of all by default, is served from a plan, as its configuration says."""
    return any(map(_PLAN.search, _texts(repository, models)))


def choose_gpus(repository: Path, models: Sequence[str] | None) -> bool:
    """Whether the configuration of one of the models names the GPUs of its instances."""
    return any(map(_GPUS.search, _texts(repository, models)))


def needs_gpu(refusal: str) -> bool:
    """Whether the server refused a model for want of a GPU: the backends' words, or the core's for a group on one."""
    return "runs plans on a GPU: no GPU" in refusal or "there is no GPU" in refusal or "but no GPUs are available" in refusal


def _texts(repository: Path, models: Sequence[str] | None) -> Iterator[str]:
    names = models if models is not None else [each.name for each in repository.iterdir() if each.is_dir()]
    for name in names:
        with contextlib.suppress(OSError, ValueError):  # the server will say what is wrong with it
            yield bounded_files.text(repository / name / "config.pbtxt")


def variables(*, plugins: Sequence[Path] = (), every_gpu: bool = False) -> dict[str, str]:
    """The environment that lets the backends see what this process sees; nothing else of the user's Python gets in.

    Args:
        plugins: libraries with plugins, which the plans' metadata names without their folders; those of `TRITONIZE_PLUGINS`
            come behind them.
        every_gpu: let all GPUs be seen. Triton puts instances on every GPU that it sees, and a plan is for one kind, proven on
            the first: where the configurations do not choose, no other is seen.
    """
    found = {name: os.environ[name] for name in _PASSED if name in os.environ}
    if not every_gpu:
        found["CUDA_VISIBLE_DEVICES"] = found.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if files := [*(str(each.absolute()) for each in plugins), *_folders("TRITONIZE_PLUGINS")]:
        found["TRITONIZE_PLUGINS"] = os.pathsep.join(files)
    libraries = _folders("LD_LIBRARY_PATH")  # of a TensorRT that lies in no package: what a worker inherits
    if folders := packages():
        found["TRITONIZE_TENSORRT"] = os.pathsep.join(folders)
    if named := os.environ.get("TRITONIZE_LIBCUDA"):
        found["TRITONIZE_LIBCUDA"] = named  # for the backends alone; the server finds its own, or sees no GPU
        libraries = [each for each in libraries if each != str(Path(named).absolute().parent)]
    elif driver := _libcuda():
        found["TRITONIZE_LIBCUDA"] = driver
        if not driver.startswith(_LOADER_FOLDERS):
            libraries.insert(0, str(Path(driver).parent))  # the server itself looks for it too
    if libraries:
        found["LD_LIBRARY_PATH"] = os.pathsep.join(dict.fromkeys(libraries))
    return found


def _folders(variable: str) -> list[str]:
    """The parts of a variable that is joined like PATH; absolute, since the server runs elsewhere."""
    return [str(Path(each).absolute()) for each in os.environ.get(variable, "").split(os.pathsep) if each]


def hidden() -> dict[str, str]:
    """The environment of a server that is to see no GPU."""
    return {"CUDA_VISIBLE_DEVICES": "-1"}


def packages() -> tuple[str, ...]:
    """The folders in which the TensorRT packages lie that are installed beside tritonize; none is imported for it."""
    folders = []
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            folders.append(str(Path(spec.origin).parents[1]))
    return tuple(dict.fromkeys(folders))


def _libcuda() -> str | None:
    """Where the loader finds NVIDIA's driver from here; the server's own environment may not lead there."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/libcuda.so" in path:
            return path
    return None
