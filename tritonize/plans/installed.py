"""The module that builds plans here: whether it can, and its version, without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib import metadata

from tritonize.core import temporary
from tritonize.core.errors import MissingError, WorkerError
from tritonize.plans import gpu, tasks
from tritonize.plans.plan_file import Module
from tritonize.plans.tasks import VersionRequest
from tritonize.process import workers

_IMPORT_DEADLINE_S = 120.0
_DISTRIBUTIONS: Mapping[Module, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt_cu13", "tensorrt_cu12"),
    "tensorrt_rtx": ("tensorrt_rtx",),
}


def require_possible(module: Module) -> str:
    """The version of a module that can build here.

    Raises:
        MissingError: it is not installed, or there is no GPU and it needs one.
    """
    if module == "tensorrt" and gpu.find() is None:  # checked before the package, which alone would not help
        raise _no_gpu()
    return installed_version(module)


def installed_version(module: Module) -> str:
    """The version of a module, by its package's metadata, else by importing it in a worker: containers bring it without any.

    Raises:
        MissingError: it is not installed, or cannot be loaded.
    """
    for name in _DISTRIBUTIONS[module]:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:  # a folder of that name is not a package
        raise MissingError(
            f"The Python package {module!r} is not installed.", next_step=f'pip install "tritonize[{module.replace("_", "-")}]"'
        )
    with temporary.folder() as folder:
        try:
            answer = workers.run_worker(
                tasks.VERSION, VersionRequest(module=module), directory=folder, deadline_s=_IMPORT_DEADLINE_S
            )
        except WorkerError as error:
            raise MissingError(
                f"The Python package {module!r} cannot be loaded.", found=error.what, details=error.details
            ) from error
    return answer.value


def _no_gpu() -> MissingError:
    return MissingError(
        "TensorRT builds a plan for the GPU of the machine that it runs on, and this machine has no GPU.",
        next_step=(
            "build on a machine with the target's GPU: `tritonize plan request` writes a folder for it, and there "
            "`tritonize plan build --request request.json` builds, such as in NVIDIA's container "
            "nvcr.io/nvidia/tensorrt:YY.MM-py3 of the target's month; or ask for TensorRT-RTX (backend: tensorrt_rtx in a spec, "
            "module: tensorrt_rtx in a request), "
            "which builds for other GPUs, into plans of its own kind"
        ),
    )
