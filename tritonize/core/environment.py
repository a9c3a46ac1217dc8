"""The environment variables that tritonize reads, in one table: docs/reference/environment.md is made from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Variable:
    """An environment variable of a user's."""

    name: str
    meaning: str
    """What it does, for a reader who knows the commands."""
    default: str = ""
    """What happens without it."""

    def value(self) -> str | None:
        """Its value; `None` if it is unset or empty."""
        return os.environ.get(self.name) or None


CACHE: Final = Variable(
    "TRITONIZE_CACHE",
    "Folder of the cache: the runtime of the embedded server, and built plans.",
    "`$XDG_CACHE_HOME/tritonize`, else `~/.cache/tritonize`",
)
SHARED_CACHE: Final = Variable("XDG_CACHE_HOME", "Folder that holds the caches of all programs.", "`~/.cache`")
LOG: Final = Variable(
    "TRITONIZE_LOG", "Write a log to standard error: `debug`, `info` or `warning`. The same as `--log`.", "no log"
)
PLAN_CACHE: Final = Variable(
    "TRITONIZE_PLAN_CACHE_GIB",
    "Largest size of all built plans in the cache, in GiB. Those used longest ago are removed first.",
    "20",
)
SIGNING_PASSWORD: Final = Variable(
    "TRITONIZE_SIGNING_PASSWORD", "Password of the private key that `tritonize sign` takes.", "the key has no password"
)
PLUGINS: Final = Variable(
    "TRITONIZE_PLUGINS",
    "Plugin libraries of TensorRT for plans that the embedded server serves, joined like `PATH`.",
    "the plugins that the spec names",
)
LIBCUDA: Final = Variable("TRITONIZE_LIBCUDA", "Path of CUDA's driver library.", "the `libcuda.so.1` that the loader finds")
TENSORRT: Final = Variable(
    "TRITONIZE_TENSORRT",
    "Folders of the TensorRT packages. tritonize sets it for the embedded server; you do not need to.",
    "the packages beside tritonize",
)
MACHINE: Final = Variable(
    "TRITONIZE_MACHINE", "While a wheel is built: the processor to compile for, such as `aarch64`.", "this machine's"
)
COMPILER: Final = Variable("CC", "While a wheel is built: the C compiler of the native backend.", "zig, from PyPI")
GITHUB: Final = Variable(
    "GITHUB_ACTIONS", "If `true`, `verify` prints an annotation for each model that did not pass.", "no annotations"
)
STEP_SUMMARY: Final = Variable(
    "GITHUB_STEP_SUMMARY",
    "File to which `run`, `build`, `verify`, `check`, `lint`, `bench` and `adopt` append a summary as Markdown; GitHub sets it.",
    "no summary",
)
DISPLAY: Final = Variable(
    "DISPLAY", "Whether `report` and `view` can open a browser; `WAYLAND_DISPLAY` counts too.", "they print the address"
)
WAYLAND: Final = Variable("WAYLAND_DISPLAY", "See `DISPLAY`.")
CERTIFICATES: Final = Variable(
    "SSL_CERT_FILE", "Certificates of the authorities that a connection trusts, where no `--ca` is given.", "the system's"
)
COLUMNS: Final = Variable(
    "COLUMNS",
    "Width of a terminal in characters; text is wrapped at 80 to 200. A file or a pipe has 80.",
    "the width of the terminal",
)
NO_COLOR: Final = Variable("NO_COLOR", "If set, the output has no colours.", "colours on a terminal")
FORCE_COLOR: Final = Variable("FORCE_COLOR", "If set and not `0`, the output has colours in a pipe too.", "colours on a terminal")
TERM: Final = Variable("TERM", "`dumb`: no colours and no line that changes.", "colours on a terminal")
CI: Final = Variable("CI", "If set and not `0` or `false`, the output has no line that changes.", "such a line on a terminal")

TABLE: Final = (
    CACHE,
    SHARED_CACHE,
    LOG,
    PLAN_CACHE,
    SIGNING_PASSWORD,
    PLUGINS,
    LIBCUDA,
    TENSORRT,
    CERTIFICATES,
    COLUMNS,
    NO_COLOR,
    FORCE_COLOR,
    TERM,
    CI,
    GITHUB,
    STEP_SUMMARY,
    DISPLAY,
    WAYLAND,
    MACHINE,
    COMPILER,
)
PASSED_ON: Final = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""Variables of CUDA and of the loader that the embedded server gets if it serves plans."""
