"""The GPU of this machine, asked of NVIDIA's driver; nothing of CUDA need be installed.

Source: the CUDA driver API (cuInit, cuDeviceGetName, cuDeviceGetAttribute, cuDriverGetVersion).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
_NAME_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU."""

    name: str
    compute_capability: str
    """Such as `9.0`."""
    driver: str
    """The newest CUDA version that the driver takes, such as `12.8`."""


def find() -> Gpu | None:
    """The first GPU; `None` where there is no driver or no device."""
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
    return Gpu(
        name=name.value.decode(),
        compute_capability=f"{major.value}.{minor.value}",
        driver=f"{version.value // 1000}.{version.value % 1000 // 10}",
    )
