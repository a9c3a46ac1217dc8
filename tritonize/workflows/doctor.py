"""The checks of `tritonize doctor`: packages, GPU and TensorRT, embedded server, isolation. They change nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import get_args

from tritonize.core.errors import MissingError
from tritonize.plans import gpu, installed
from tritonize.plans.plan_file import Module
from tritonize.process import isolation_probe
from tritonize.triton.server import environment, ways
from tritonize.triton.server.prerequisites import Probe

_REQUIRED = ("numpy", "onnx", "onnxruntime", "onnxslim", "tritonclient")
_FOR_EXPORT = ("torch", "onnxscript")


def probe() -> tuple[Probe, ...]:
    """Run all checks, in the order in which a run needs the parts."""
    packages = [_package(name, None) for name in _REQUIRED] + [_package(name, "torch") for name in _FOR_EXPORT]
    return (
        *packages,
        _gpu(),
        *map(_builder, get_args(Module)),
        *environment.probe(),
        *ways.probe(installed=environment.is_installed()),
        _isolation(),
    )


def _isolation() -> Probe:
    """Check the isolation of workers, which only `--isolate` needs."""
    possible, reason = isolation_probe.describe()
    found = reason if possible else f"not possible: {reason}"
    return Probe(name="isolation of workers, for --isolate alone", ok=True, found=found, absent=not possible)


def _gpu() -> Probe:
    """Look for a GPU, which only the proof of plans needs."""
    here = gpu.find()
    description = (
        f"{here.name}, compute capability {here.compute_capability}, driver {here.driver}" if here else "none: they stay not run"
    )
    return Probe(name="a GPU, for plans alone", ok=True, found=description, absent=here is None)


def _builder(module: Module) -> Probe:
    """Check a module that builds plans. One of the two is enough; without plans, neither is needed."""
    name = f"the package {module}, for plans alone"
    try:
        return Probe(name=name, ok=True, found=installed.installed_version(module))
    except MissingError as error:
        found = f"not installed: {error.next_step}" if error.next_step else f"{error.what} {error.found or ''}".strip()
    return Probe(name=name, ok=True, found=found, absent=True)


def _package(name: str, extra: str | None) -> Probe:
    if importlib.util.find_spec(name) is None:
        wanted = f'pip install "tritonize[{extra}]"' if extra else "pip install --force-reinstall tritonize"
        return Probe(name=f"the package {name}", ok=False, found="not installed", next_step=wanted)
    return Probe(name=f"the package {name}", ok=True, found=importlib.metadata.version(name))


def install_server(on_progress: Callable[[str], None] | None = None) -> None:
    """Install or repair the embedded server's runtime environment.

    Raises:
        MissingError: the machine lacks something, or no package index can be reached.
    """
    environment.install(on_progress)
