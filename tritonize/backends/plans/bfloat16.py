"""Exchange BF16 tensors with Triton's Python backend through DLPack structures built with ctypes.

NumPy has no bfloat16 type, and its own DLPack capsules crash the backend's stub. The arrays are `uint16`, the bits of the
elements.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tritonize.backends.python_backend import Tensor

_CAPSULE = b"dltensor"
_CPU = 1
_BFLOAT = 4


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


class _DLManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", _DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = (ctypes.c_size_t,)
_free = ctypes.cast(_libc.free, ctypes.c_void_p).value

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def read(tensor: Tensor) -> NDArray[np.uint16]:
    """The bits of a BF16 tensor of a request; a view that is valid during the request."""
    capsule = tensor.to_dlpack()
    dltensor = _DLManagedTensor.from_address(_get_pointer(capsule, _CAPSULE)).tensor
    shape = tuple((ctypes.c_int64 * dltensor.ndim).from_address(dltensor.shape)) if dltensor.ndim else ()
    return _view((dltensor.data or 0) + dltensor.byte_offset, shape)


def _view(address: int, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, np.uint16)
    bits: NDArray[np.uint16] = np.ctypeslib.as_array((ctypes.c_uint16 * count).from_address(address)).reshape(shape)
    return bits


def capsule(bits: NDArray[np.uint16]) -> object:
    """A DLPack capsule over the array, for `Tensor.from_dlpack`. The array must be contiguous, and outlive the response.

    The structure is allocated with `malloc` and has `free` as its deleter, so no Python code runs when the stub drops it.
    """
    address = _libc.malloc(ctypes.sizeof(_DLManagedTensor) + 8 * bits.ndim)
    if address is None:
        raise MemoryError
    managed = _DLManagedTensor.from_address(address)
    shape_address = address + ctypes.sizeof(_DLManagedTensor)
    (ctypes.c_int64 * bits.ndim).from_address(shape_address)[:] = list(bits.shape)
    managed.tensor = _DLTensor(bits.ctypes.data, _CPU, 0, bits.ndim, _BFLOAT, 16, 1, shape_address, None, 0)
    managed.context, managed.deleter = None, _free
    made: object = _new_capsule(address, _CAPSULE, None)
    return made
