"""Detect the GPU of this machine through NVIDIA's driver; CUDA itself need not be installed.

Source: the CUDA driver API (cuInit, cuDeviceGetName, cuDeviceGetAttribute, cuDriverGetVersion), and the kernel module's file in
/proc, because that API does not report the driver's version.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
_NAME_BYTES = 256
_KERNEL_MODULE = Path("/proc/driver/nvidia/version")
_VERSION = re.compile(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)*)\s", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU."""

    name: str
    compute_capability: str
    """Such as `9.0`."""
    driver: str
    """The driver's version, such as `550.54.15`; `CUDA 12.4` if the machine does not report it."""
    cuda: str
    """The newest CUDA version that the driver supports, such as `12.8`."""


def find() -> Gpu | None:
    """The first GPU; `None` without a driver or a device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, version, major, minor = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(_NAME_BYTES)
    calls: tuple[Callable[[], int], ...] = (
        lambda: driver.cuInit(0),
        lambda: driver.cuDeviceGet(ctypes.byref(device), 0),
        lambda: driver.cuDeviceGetName(name, _NAME_BYTES, device),
        lambda: driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        lambda: driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
        lambda: driver.cuDriverGetVersion(ctypes.byref(version)),
    )
    if any(call() != 0 for call in calls):
        return None
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(
        name=name.value.decode(),
        compute_capability=f"{major.value}.{minor.value}",
        driver=driver_version(cuda),
        cuda=cuda,
    )


def driver_version(cuda: str, module: Path = _KERNEL_MODULE) -> str:
    """The version of the installed driver.

    Args:
        cuda: the newest CUDA version that it supports, returned if the kernel module's file does not exist.
        module: the kernel module's file in /proc.
    """
    try:
        match = _VERSION.search(f"{module.read_text(encoding='utf-8', errors='replace')}\n")
    except OSError:  # some virtual machines lack this file
        match = None
    return match[1] if match else f"CUDA {cuda}"
