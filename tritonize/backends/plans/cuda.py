"""Device memory, streams and events of one GPU, through NVIDIA's driver (libcuda) and ctypes.

The worker that verifies plans and the backends that serve them use this module; it needs only the standard library. It uses the
GPU's primary context, which TensorRT's CUDA runtime uses too. Addresses, streams and events are plain integers, as TensorRT
expects them.

Source: the CUDA driver API. Functions with a 64-bit variant are called by their names with `_v2`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NAME_BYTES = 256
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: the stream does not wait for the default stream

_INT, _UINT, _SIZE, _POINTER, _U64 = ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_uint64
_SIGNATURES: dict[str, tuple[type, ...]] = {
    "cuInit": (_UINT,),
    "cuDriverGetVersion": (_POINTER,),
    "cuDeviceGetCount": (_POINTER,),
    "cuDeviceGet": (_POINTER, _INT),
    "cuDeviceGetName": (_POINTER, _INT, _INT),
    "cuDeviceGetAttribute": (_POINTER, _INT, _INT),
    "cuDevicePrimaryCtxRetain": (_POINTER, _INT),
    "cuDevicePrimaryCtxRelease_v2": (_INT,),
    "cuCtxSetCurrent": (_POINTER,),
    "cuMemGetInfo_v2": (_POINTER, _POINTER),
    "cuMemAlloc_v2": (_POINTER, _SIZE),
    "cuMemFree_v2": (_U64,),
    "cuMemHostAlloc": (_POINTER, _SIZE, _UINT),
    "cuMemFreeHost": (_POINTER,),
    "cuMemcpyHtoDAsync_v2": (_U64, _POINTER, _SIZE, _POINTER),
    "cuMemcpyDtoHAsync_v2": (_POINTER, _U64, _SIZE, _POINTER),
    "cuStreamCreate": (_POINTER, _UINT),
    "cuStreamSynchronize": (_POINTER,),
    "cuStreamDestroy_v2": (_POINTER,),
    "cuEventCreate": (_POINTER, _UINT),
    "cuEventRecord": (_POINTER, _POINTER),
    "cuEventSynchronize": (_POINTER,),
    "cuEventElapsedTime": (_POINTER, _POINTER, _POINTER),
    "cuEventDestroy_v2": (_POINTER,),
    "cuGetErrorName": (_INT, _POINTER),
    "cuGetErrorString": (_INT, _POINTER),
}
"""Function to the types of its arguments; each returns a CUresult, 0 on success. `_U64` is a CUdeviceptr."""


NO_GPU = "[no-gpu]"
"""Code in the text of an error for which there is no GPU: Triton passes on nothing of a backend's exception but its text."""


class CudaError(RuntimeError):
    """A call to the driver failed; the text names the call and CUDA's error."""


class NoGpuError(CudaError):
    """There is no driver, no GPU, or none with the number of the device. Its text contains `NO_GPU`."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text} {NO_GPU}")


class Device:
    """One GPU; its primary context is current in the thread that creates the instance.

    What `allocate`, `allocate_host`, `stream` and `event` return lives until it is freed or the process ends.

    Raises:
        CudaError: there is no driver, no such GPU, or a call fails.
    """

    def __init__(self, number: int = 0, library: str = LIBRARY) -> None:
        self._driver = _load(library)
        device, count, version = _INT(), _INT(), _INT()
        self._call("cuInit", 0)
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if not 0 <= number < count.value:
            raise NoGpuError(f"no GPU {number}: the driver reports {count.value} GPUs, numbered from 0")
        self._call("cuDeviceGet", ctypes.byref(device), number)
        self._device = device.value
        self._call("cuDriverGetVersion", ctypes.byref(version))
        name = ctypes.create_string_buffer(_NAME_BYTES)
        self._call("cuDeviceGetName", name, _NAME_BYTES, self._device)
        self.name = name.value.decode()
        self.compute_capability = f"{self._attribute(_MAJOR)}.{self._attribute(_MINOR)}"
        self.cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
        context = _POINTER()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._device)
        self._context = context.value
        self.use()

    def use(self) -> None:
        """Make the context current in this thread; every thread must call this once before any other method."""
        self._call("cuCtxSetCurrent", self._context)

    def close(self) -> None:
        """Release the context; its allocations are freed with it, unless other code retains the context too."""
        if self._context is not None:
            self._context = None
            self._call("cuDevicePrimaryCtxRelease_v2", self._device)

    def free_memory(self) -> tuple[int, int]:
        """Return the free and the total device memory in bytes."""
        free, total = _SIZE(), _SIZE()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of device memory, 256-byte aligned; at least 1 byte is allocated, so it is never 0."""
        address = _U64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), max(1, size), what=f"{size:,} bytes")
        return address.value

    def free(self, address: int) -> None:
        """Free device memory."""
        self._call("cuMemFree_v2", address)

    def allocate_host(self, size: int) -> int:
        """Return the address of `size` bytes of pinned host memory, which asynchronous copies need."""
        address = _POINTER()
        self._call("cuMemHostAlloc", ctypes.byref(address), max(1, size), 0, what=f"{size:,} bytes")
        return int(address.value or 0)

    def free_host(self, address: int) -> None:
        """Free pinned host memory."""
        self._call("cuMemFreeHost", address)

    def upload(self, device: int, host: int, size: int, *, stream: int) -> None:
        """Enqueue a copy from host to device memory in the stream."""
        if size:
            self._call("cuMemcpyHtoDAsync_v2", device, host, size, stream, what=f"{size:,} bytes")

    def download(self, host: int, device: int, size: int, *, stream: int) -> None:
        """Enqueue a copy from device to host memory in the stream."""
        if size:
            self._call("cuMemcpyDtoHAsync_v2", host, device, size, stream, what=f"{size:,} bytes")

    def stream(self) -> int:
        """Create a stream that does not wait for the default stream."""
        return self._made("cuStreamCreate", _NON_BLOCKING)

    def synchronize(self, stream: int) -> None:
        """Wait for all work in the stream; raises CudaError for errors of its kernels."""
        self._call("cuStreamSynchronize", stream)

    def free_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._call("cuStreamDestroy_v2", stream)

    def event(self) -> int:
        """Create an event that records its time."""
        return self._made("cuEventCreate", 0)

    def record(self, event: int, stream: int) -> None:
        """Record the event when the stream reaches this point."""
        self._call("cuEventRecord", event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        """Wait for the second of two recorded events, and return the milliseconds between them."""
        found = ctypes.c_float()
        self._call("cuEventSynchronize", end)
        self._call("cuEventElapsedTime", ctypes.byref(found), start, end)
        return float(found.value)

    def free_event(self, event: int) -> None:
        """Destroy an event."""
        self._call("cuEventDestroy_v2", event)

    def _attribute(self, number: int) -> int:
        found = _INT()
        self._call("cuDeviceGetAttribute", ctypes.byref(found), number, self._device)
        return found.value

    def _made(self, function: str, flags: int) -> int:
        handle = _POINTER()
        self._call(function, ctypes.byref(handle), flags)
        return int(handle.value or 0)

    def _call(self, function: str, *arguments: object, what: str = "") -> None:
        code = getattr(self._driver, function)(*arguments)
        if code != 0:
            kind = NoGpuError if code == _NO_DEVICE else CudaError
            raise kind(f"{function}{f' ({what})' if what else ''}: {self._described(code)}")

    def _described(self, code: int) -> str:
        texts = []
        for function in ("cuGetErrorName", "cuGetErrorString"):
            text = ctypes.c_char_p()
            if getattr(self._driver, function)(code, ctypes.byref(text)) == 0 and text.value:
                texts.append(text.value.decode())
        words = ": ".join(texts) or "unknown to the driver"
        return f"error {code}, {words}"


def _load(library: str) -> ctypes.CDLL:
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise NoGpuError(f"no GPU here: NVIDIA's driver ({library}) is not installed") from error
    for name, types in _SIGNATURES.items():
        try:
            function: Callable[..., int] = getattr(driver, name)
        except AttributeError as error:
            raise CudaError(f"NVIDIA's driver ({library}) is too old: it has no {name}") from error
        function.argtypes, function.restype = types, _INT  # type: ignore[attr-defined]
    return driver
