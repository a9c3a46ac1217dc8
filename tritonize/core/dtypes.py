"""One table of tensor element types: what torch, NumPy, ONNX, TensorRT, Triton and its clients call each.

Sources: onnx.proto3 (TensorProto.DataType), model_config.proto (DataType), the KServe v2 protocol (datatype strings),
TensorRT's DataType.
"""

from __future__ import annotations

from dataclasses import dataclass

from tritonize.core import suggestions


@dataclass(frozen=True, kw_only=True)
class DType:
    """One element type under all its names; `None` where a system has no such type."""

    name: str
    """The name used in specs and reports, such as `fp32`."""
    numpy: str
    """NumPy's name; `bfloat16` comes from the package ml_dtypes, `object` stands for bytes."""
    onnx: int
    """TensorProto.DataType."""
    client: str
    """Datatype of the KServe v2 protocol and of tritonclient."""
    tensorrt: str | None = None
    """Attribute of tensorrt.DataType."""
    itemsize: int
    """Bytes per element; 0 where it varies."""
    floating: bool = False

    @property
    def torch(self) -> str | None:
        """Attribute of the torch module: the same word as NumPy's."""
        return None if self.name == "string" else self.numpy

    @property
    def triton(self) -> str:
        """Enum name in config.pbtxt."""
        return "TYPE_STRING" if self.name == "string" else f"TYPE_{self.client}"


TABLE: tuple[DType, ...] = (
    DType(name="fp32", numpy="float32", onnx=1, client="FP32", tensorrt="FLOAT", itemsize=4, floating=True),
    DType(name="fp16", numpy="float16", onnx=10, client="FP16", tensorrt="HALF", itemsize=2, floating=True),
    DType(name="bf16", numpy="bfloat16", onnx=16, client="BF16", tensorrt="BF16", itemsize=2, floating=True),
    DType(name="fp64", numpy="float64", onnx=11, client="FP64", itemsize=8, floating=True),
    DType(name="int8", numpy="int8", onnx=3, client="INT8", tensorrt="INT8", itemsize=1),
    DType(name="int16", numpy="int16", onnx=5, client="INT16", itemsize=2),
    DType(name="int32", numpy="int32", onnx=6, client="INT32", tensorrt="INT32", itemsize=4),
    DType(name="int64", numpy="int64", onnx=7, client="INT64", tensorrt="INT64", itemsize=8),
    DType(name="uint8", numpy="uint8", onnx=2, client="UINT8", tensorrt="UINT8", itemsize=1),
    DType(name="uint16", numpy="uint16", onnx=4, client="UINT16", itemsize=2),
    DType(name="uint32", numpy="uint32", onnx=12, client="UINT32", itemsize=4),
    DType(name="uint64", numpy="uint64", onnx=13, client="UINT64", itemsize=8),
    DType(name="bool", numpy="bool", onnx=9, client="BOOL", tensorrt="BOOL", itemsize=1),
    DType(name="string", numpy="object", onnx=8, client="BYTES", itemsize=0),
)

_BY_NAME = {dtype.name: dtype for dtype in TABLE}
_BY_NUMPY = {dtype.numpy: dtype for dtype in TABLE}
_BY_ONNX = {dtype.onnx: dtype for dtype in TABLE}
_BY_TRITON = {dtype.triton: dtype for dtype in TABLE}
_BY_TENSORRT = {dtype.tensorrt: dtype for dtype in TABLE if dtype.tensorrt}
_BY_CLIENT = {dtype.client: dtype for dtype in TABLE}
_ALIASES = {
    **_BY_NUMPY,
    **{dtype.client.lower(): dtype for dtype in TABLE},
    "float": _BY_NAME["fp32"],
    "half": _BY_NAME["fp16"],
    "double": _BY_NAME["fp64"],
    "int": _BY_NAME["int32"],
    "long": _BY_NAME["int64"],
}


def by_name(name: str) -> DType:
    """The type of a spec's or command line's name; common aliases (`float32`, `half`, `FP32`) are accepted.

    Raises:
        KeyError: no such type.
    """
    key = name.strip().lower()
    return _BY_NAME.get(key) or _ALIASES[key]


def hint(name: str) -> str:
    """What an unknown name may be meant as: the type that is spelled like it, or all types."""
    near = suggestions.near(name, [*_BY_NAME, *_ALIASES], most=1)
    return f"did you mean {by_name(near[0]).name!r}?" if near else f"known: {', '.join(_BY_NAME)}"


def by_numpy(name: str) -> DType:
    """The type of a NumPy dtype's name (`str(array.dtype)`). Raises KeyError."""
    return _BY_NUMPY[name]


def by_onnx(number: int) -> DType:
    """The type of a TensorProto.DataType. Raises KeyError."""
    return _BY_ONNX[number]


def by_triton(name: str) -> DType:
    """The type of a config.pbtxt enum name such as `TYPE_FP32`. Raises KeyError."""
    return _BY_TRITON[name]


def by_tensorrt(name: str) -> DType:
    """The type of a member of tensorrt.DataType, such as `HALF`. Raises KeyError."""
    return _BY_TENSORRT[name]


def by_client(name: str) -> DType:
    """The type of a KServe v2 datatype such as `FP32`. Raises KeyError."""
    return _BY_CLIENT[name]
