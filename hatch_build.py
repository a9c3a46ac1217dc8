"""Compile the native ONNX Runtime backend of the embedded server when a wheel is built or tritonize is installed.

`$CC` compiles it if it is set. Otherwise `zig cc` of the PyPI package ziglang does, which pip installs for the build alone. The
library uses the C library and nothing else: it loads ONNX Runtime when the server starts, and Triton's functions come from the
server's process. On a platform that the embedded server does not support, the wheel is built without it.

`TRITONIZE_MACHINE=aarch64` builds a wheel for that processor on any machine (`make wheel-aarch64`).
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "libtriton_onnxruntime.so"
SOURCES = "tritonize/backends/onnxruntime/native"
ZIG = "ziglang==0.17.0"
MACHINES = ("x86_64", "aarch64")
MACHINE = "TRITONIZE_MACHINE"
"""The environment variable that names the processor to build for; by default it is this machine's."""
_GLIBC = (2, 28)  # the oldest that zig links for here; the server itself needs 2.35
_FLAGS = (
    "-std=c11",
    "-O2",
    "-g0",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-shared",
    "-s",
    f"-Wl,-soname,{LIBRARY}",
    "-Wl,--build-id=none",  # the same sources make the same bytes
)
_LIBRARIES = ("-ldl", "-lpthread")  # parts of the C library since glibc 2.34


class NativeBackendHook(BuildHookInterface):  # type: ignore[misc] # hatchling has no types where mypy runs
    """Adds the compiled library to the wheel, or puts it beside its sources for an editable installation."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What pip installs for this build."""
        return [ZIG] if is_supported(os.environ) and not os.environ.get("CC") else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library; `version` is `standard` or `editable`."""
        if not is_supported(os.environ):
            self.app.display_warning(
                f"tritonize is built without its embedded Triton server, which needs Linux {' or '.join(MACHINES)} with glibc; "
                f"this is {sysconfig.get_platform()}"
            )
            return
        sources = Path(self.root, SOURCES)
        build_data["pure_python"] = False
        build_data["tag"] = wheel_tag(os.environ)
        if version == "editable":
            if os.environ.get(MACHINE):
                raise RuntimeError(f"{MACHINE} is for wheels: an editable installation runs on this machine. Unset {MACHINE}")
            build(sources, sources / LIBRARY)
            return
        self._folder = tempfile.mkdtemp()
        library = Path(self._folder, LIBRARY)
        try:
            build(sources, library)
        except RuntimeError:
            shutil.rmtree(self._folder)
            raise
        build_data["force_include"][str(library)] = f"{SOURCES}/{LIBRARY}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove the temporary library."""
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder)


def is_supported(environ: Mapping[str, str]) -> bool:
    """Whether the library can be built: for the processor that the environment names, or for this platform."""
    libc, number = platform.libc_ver()
    version = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
    here = sysconfig.get_platform() in [f"linux-{each}" for each in MACHINES] and libc == "glibc" and version >= _GLIBC
    return bool(environ.get(MACHINE)) or here


def machine(environ: Mapping[str, str]) -> str:
    """The processor to build for.

    Raises:
        RuntimeError: the environment names one for which there is no server.
    """
    found = environ.get(MACHINE) or sysconfig.get_platform().removeprefix("linux-")
    if found not in MACHINES:
        raise RuntimeError(f"{MACHINE}: expected {' or '.join(MACHINES)}, found {found!r}")
    return found


def compiler(environ: Mapping[str, str]) -> list[str]:
    """The compiler's command: `$CC`, else zig for a fixed version of glibc, where a warning is an error."""
    if given := shlex.split(environ.get("CC", "")):
        return given
    target = f"{machine(environ)}-linux-gnu.{_GLIBC[0]}.{_GLIBC[1]}"
    return [sys.executable, "-m", "ziglang", "cc", "-target", target, "-Werror"]


def wheel_tag(environ: Mapping[str, str]) -> str:
    """The wheel's tag. What another compiler's library needs of glibc is unknown, so that wheel is for machines like this one."""
    system = "linux" if environ.get("CC") else f"manylinux_{_GLIBC[0]}_{_GLIBC[1]}"
    return f"py3-none-{system}_{machine(environ)}"


def build(sources: Path, library: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Compile all C files of a folder into one shared library. An existing one is replaced in one step: a server may have it open.

    Raises:
        RuntimeError: there is no compiler, or it fails; the text has its messages.
    """
    if not environ.get("CC") and importlib.util.find_spec("ziglang") is None:
        raise RuntimeError(f"There is no C compiler for tritonize's native backend. Set CC (CC=gcc), or run: pip install {ZIG}")
    files = sorted(path.name for path in sources.glob("*.c"))
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build-") as folder:
        made = Path(folder, LIBRARY)
        command = [*compiler(environ), *_FLAGS, "-o", str(made), *files, *_LIBRARIES]
        try:
            # zig would leave .zig-cache in the folder of the sources.
            done = subprocess.run(
                command, cwd=sources, env={**environ, "ZIG_LOCAL_CACHE_DIR": folder}, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise RuntimeError(f"The C compiler for tritonize's native backend does not start: {command[0]}: {error}") from error
        if done.returncode != 0:
            raise RuntimeError(f"tritonize's native backend does not compile:\n{shlex.join(command)}\n{done.stdout}{done.stderr}")
        made.replace(library)
