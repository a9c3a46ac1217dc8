"""Check whether an installed TensorRT module can build plans on this machine, and find its version."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib import metadata

from tritonize.core import temporary
from tritonize.core.errors import MissingError, WorkerError
from tritonize.core.messages import plans as wording
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
    """The version of a module that can build plans on this machine.

    Raises:
        MissingError: the module is not installed, or it is `tensorrt` and this machine has no GPU.
    """
    if module == "tensorrt" and gpu.find() is None:  # checked first: without a GPU, installing the package does not help
        raise MissingError.of(wording.NO_GPU_TO_BUILD)
    return installed_version(module)


def installed_version(module: Module) -> str:
    """The version of a module, from the metadata of its package.

    Without that metadata, as in some containers, a worker imports the module.

    Raises:
        MissingError: the module is not installed or cannot be loaded.
    """
    for name in _DISTRIBUTIONS[module]:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:  # a folder of that name is not a package
        raise MissingError.of(wording.MODULE_MISSING, module=module, extra=module.replace("_", "-"))
    with temporary.folder() as folder:
        try:
            result = workers.run_worker(
                tasks.VERSION, VersionRequest(module=module), directory=folder, deadline_s=_IMPORT_DEADLINE_S
            )
        except WorkerError as error:
            raise MissingError.of(
                wording.MODULE_NOT_LOADED,
                found=error.what,
                details=error.details,
                module=module,
                extra=module.replace("_", "-"),
            ) from error
    return result.value
