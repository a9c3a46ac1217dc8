"""Read the bytes of a module's parameters and buffers, for every kind of tensor; runs inside a worker.

NumPy has no float8, sparse, quantized or nested tensors. So each of these is taken apart into the ordinary tensors it consists of.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import torch
import torch.utils._pytree as pytree
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import state as wording

_PER_CHANNEL = (torch.per_channel_affine, torch.per_channel_affine_float_qparams, torch.per_channel_symmetric)
_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices"),
    torch.sparse_bsr: ("crow_indices", "col_indices"),
    torch.sparse_csc: ("ccol_indices", "row_indices"),
    torch.sparse_bsc: ("ccol_indices", "row_indices"),
}
_RESIZABLE_BYTES = 1 << 20
"""Tensors up to this size are copied before their bytes are read: numpy() makes memory unresizable, and observers resize theirs."""


def named(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter and buffer, and the packed weights of quantized modules, which are neither."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for path, part in module.named_modules():
        if type(part).__module__.startswith("torch.ao.nn"):
            packed = {
                name: value for name, value in part.state_dict().items() if "_packed" in name or name.endswith("_weight_values")
            }
            for place, leaf in pytree.tree_flatten_with_path(packed)[0]:
                if isinstance(leaf, torch.Tensor):
                    yield f"{path}{pytree.keystr(place)}", leaf


def require_values(module: torch.nn.Module) -> None:
    """Require that every parameter and buffer has values.

    Raises:
        UsageError: it names the first one without, and the reason: a lazy module that was never called, or the meta device.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            raise UsageError.of(wording.UNINITIALIZED, found=type(tensor).__name__, name=name)
        if tensor.is_meta:
            raise UsageError.of(wording.META, found=f"{tensor.dtype}, {list(tensor.shape)}", name=name)


def checksum(name: str, tensor: torch.Tensor) -> int:
    """CRC-32 of a tensor's bytes.

    Raises:
        ExportError: the bytes cannot be read.
    """
    crc = 0
    try:
        for part in parts(tensor):
            if part.nbytes <= _RESIZABLE_BYTES:
                part = part.clone()
            crc = zlib.crc32(part.reshape(-1).view(torch.uint8).numpy().data, crc)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ExportError.of(
            wording.UNREADABLE, where=name, found=f"{tensor.layout}, {tensor.dtype}: {str(error).splitlines()[0]}", name=name
        ) from error
    return crc


def nbytes(module: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers as they are stored."""
    return sum(part.nbytes for _, tensor in named(module) for part in parts(tensor))


def parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The ordinary tensors that a tensor consists of, contiguous and on the CPU: usually itself; none if it is empty."""
    tensor = tensor.detach()
    wrapped: object = tensor
    if tensor.is_nested:
        for each in tensor.unbind():
            yield from parts(each)
    elif is_traceable_wrapper_subclass(wrapped):  # torchao's quantized weights, and other subclasses made of inner tensors
        for attribute in wrapped.__tensor_flatten__()[0]:
            yield from parts(getattr(wrapped, attribute))
    elif tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce()
        yield from (*parts(tensor.indices()), *parts(tensor.values()))
    elif tensor.layout in _COMPRESSED:
        for name in (*_COMPRESSED[tensor.layout], "values"):
            yield from parts(getattr(tensor, name)())
    elif tensor.layout != torch.strided:
        yield from parts(tensor.to_dense())
    elif tensor.is_quantized:
        yield from (*parts(tensor.int_repr()), *(part for each in _quantization(tensor) for part in parts(each)))
    elif tensor.numel():
        yield tensor.cpu().resolve_conj().resolve_neg().contiguous()


def _quantization(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Scales and zero points of a quantized tensor."""
    if tensor.qscheme() in _PER_CHANNEL:
        return tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return torch.tensor(tensor.q_scale(), dtype=torch.float64), torch.tensor(tensor.q_zero_point())
