"""What `tritonize doctor` looks at: the packages, the machine, the embedded server. Nothing is changed by looking."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable

from tritonize.servers import environment
from tritonize.servers.prerequisites import Probe

REQUIRED = ("numpy", "onnx", "onnxruntime", "onnxslim", "tritonclient")
EXPORTING = ("torch", "onnxscript")


def probe() -> tuple[Probe, ...]:
    """Everything, in the order in which it is needed."""
    packages = [_package(name, None) for name in REQUIRED] + [_package(name, "torch") for name in EXPORTING]
    return (*packages, *environment.probe())


def _package(name: str, extra: str | None) -> Probe:
    if importlib.util.find_spec(name) is None:
        wanted = f'pip install "tritonize[{extra}]"' if extra else "pip install --force-reinstall tritonize"
        return Probe(name=f"the package {name}", ok=False, found="not installed", next_step=wanted)
    return Probe(name=f"the package {name}", ok=True, found=importlib.metadata.version(name))


def install_server(on_progress: Callable[[str], None] | None = None) -> None:
    """Install the embedded server's runtime environment, or mend it.

    Raises:
        MissingError: the machine lacks something, or no package index can be reached.
    """
    environment.install(on_progress)
