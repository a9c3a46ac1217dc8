"""Decompose operators that have no ONNX function into operators that have one, for the `…_decomposed` strategies.

Every entry is needed by a model that no exporter converts otherwise. The resulting file is compared with PyTorch like every other,
so a mistake here makes a strategy fail and cannot publish a wrong version.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any  # Any: overloads of torch and operators of onnxscript have no public types

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from tritonize.export.worker import adaptive_pools, orderings

_aten, _prims = torch.ops.aten, torch.ops.prims
_ROUNDS = 4
"""A decomposition may yield operators that need another one. Three rounds were the most that a tested model needed."""


def decomposed(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Decompose the program into operators that have ONNX functions; operators that are in no table stay."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    registry = ONNXRegistry.from_torchlib()
    known = torch._decomp.global_decomposition_table["post_autograd"]
    ours = _targets(program) & set(_BETTER)
    if ours:
        program = program.run_decompositions({each: _BETTER[each] for each in ours})
    for _ in range(_ROUNDS):
        missing = {
            each
            for each in _targets(program)
            # The exporter's own decomposition of a Fourier transform knows pairs of reals.
            if not registry.is_registered(each) and each not in TRANSLATIONS and "fft" not in each.name()
        }
        table = {each: _MISSING.get(each, known.get(each)) for each in missing if each in _MISSING or each in known}
        if not table:
            break
        program = program.run_decompositions(table)
    return program


def _targets(program: torch.export.ExportedProgram) -> set[Any]:
    return {node.target for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)}


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - the operator's signature
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention where a fully masked row gives 0, as in PyTorch's kernels; the exporter's version gives the mean of the values."""
    if enable_gqa:
        groups = q.shape[-3] // k.shape[-3]
        k, v = k.repeat_interleave(groups, -3), v.repeat_interleave(groups, -3)
    scores = torch.matmul(q * (1.0 / math.sqrt(q.shape[-1]) if scale is None else scale), k.transpose(-2, -1))
    if is_causal:
        rows, columns = torch.arange(q.shape[-2], device=q.device), torch.arange(k.shape[-2], device=q.device)
        attn_mask = columns[None, :] <= rows[:, None]
    if attn_mask is None:
        return torch.matmul(torch.softmax(scores, -1), v)
    lowest = torch.finfo(scores.dtype).min
    if attn_mask.dtype == torch.bool:
        seen, scores = attn_mask, torch.where(attn_mask, scores, lowest)
    else:
        seen, scores = attn_mask > float("-inf"), scores + attn_mask.clamp(min=lowest)
    return torch.matmul(torch.softmax(scores, -1) * seen.any(-1, keepdim=True).to(scores.dtype), v)


def _native_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The fast path of nn.MultiheadAttention. The mask is True at masked positions; type 0 is [T, S], type 1 is [B, S]."""
    batch, steps, seen, width = query.shape[0], query.shape[1], key.shape[1], embed_dim // num_head
    weights, biases = qkv_weight.chunk(3), qkv_bias.chunk(3)
    q, k, v = (
        F.linear(x, weight, bias).reshape(batch, x.shape[1], num_head, width).permute(0, 2, 1, 3)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    scores = torch.matmul(q / math.sqrt(width), k.transpose(-2, -1))
    if mask is not None:
        shapes = {0: (1, 1, steps, seen), 1: (batch, 1, 1, seen)}
        shaped = mask.reshape(shapes[mask_type]) if mask_type in shapes else mask
        scores = torch.where(shaped.to(torch.bool), float("-inf"), scores)
    attended = torch.softmax(scores, -1)
    y = F.linear(torch.matmul(attended, v).permute(0, 2, 1, 3).reshape(batch, steps, embed_dim), proj_weight, proj_bias)
    if not need_weights:
        return y, query.new_empty(0)
    return y, attended.mean(1) if average_attn_weights else attended


def _encoder_layer(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """The fast path of nn.TransformerEncoderLayer."""

    def attend(x: Tensor) -> Tensor:
        weights = (qkv_weight, qkv_bias, proj_weight, proj_bias)
        return _native_attention(x, x, x, embed_dim, num_heads, *weights, mask, False, True, mask_type)[0]

    def feed(x: Tensor) -> Tensor:
        hidden = F.linear(x, ffn_weight_1, ffn_bias_1)
        return F.linear(F.gelu(hidden) if use_gelu else F.relu(hidden), ffn_weight_2, ffn_bias_2)

    def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x, (embed_dim,), weight, bias, eps)

    if norm_first:
        x = src + attend(norm(src, norm_weight_1, norm_bias_1))
        return x + feed(norm(x, norm_weight_2, norm_bias_2))
    x = norm(src + attend(src), norm_weight_1, norm_bias_1)
    return norm(x + feed(x), norm_weight_2, norm_bias_2)


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:  # noqa: ARG001
    """Distances between all rows of two matrices."""
    d = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if p == 2.0:
        return (d * d).sum(-1).sqrt()
    if p == 1.0:
        return d.abs().sum(-1)
    return d.abs().amax(-1) if p == math.inf else d.abs().pow(p).sum(-1).pow(1.0 / p)


def _signbit(x: Tensor) -> Tensor:
    """Whether the sign bit is set, also for -0.0; copysign() decomposes into it."""
    return x < 0 if not x.is_floating_point() else (x < 0) | ((x == 0) & (x.reciprocal() < 0))


def _scatter(x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> object:
    """Compute a mean as a sum divided by a count; the exporter's function writes the last value instead."""
    if reduce != "mean" or not x.is_floating_point():
        return NotImplemented
    total = x.scatter_reduce(dim, index, src, "sum", include_self=include_self)
    count = torch.full_like(x, float(include_self)).scatter_add(dim, index, torch.ones_like(src))
    return total / count.clamp(min=1)


def _einsum(equation: str, tensors: Sequence[Tensor], *, path: Sequence[int] | None = None) -> object:  # noqa: ARG001
    """Multiply complex tensors by their real and imaginary parts."""
    if len(tensors) != 2 or not any(each.is_complex() for each in tensors):
        return NotImplemented
    one, other = (torch.view_as_real(each).unbind(-1) if each.is_complex() else (each, None) for each in tensors)

    def product(x: Tensor | None, y: Tensor | None) -> Any:
        return 0.0 if x is None or y is None else torch.einsum(equation, x, y)

    real = product(one[0], other[0]) - product(one[1], other[1])
    imaginary = product(one[0], other[1]) + product(one[1], other[0])
    return torch.view_as_complex(torch.stack([real, imaginary], -1))


def _irfft(x: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Inverse real FFT that pads or cuts its input as pairs of reals."""
    dim = dim % x.dim()
    n = 2 * (x.shape[dim] - 1) if n is None else n
    pairs, wanted = torch.view_as_real(x), n // 2 + 1
    if pairs.shape[dim] > wanted:
        pairs = pairs.narrow(dim, 0, wanted)
    elif pairs.shape[dim] < wanted:
        pairs = F.pad(pairs, [0, 0] * (pairs.dim() - 1 - dim) + [0, wanted - pairs.shape[dim]])
    mode = {None: 2, "backward": 2, "ortho": 1, "forward": 0}[norm]
    inverse: Tensor = _aten._fft_c2r.default(torch.view_as_complex(pairs.contiguous()), [dim], mode, n)
    return inverse


def _opset() -> Any:
    """Return onnxscript's opset as `Any`: its annotations are narrower than the arguments that tracing passes."""
    import onnxscript

    return onnxscript.opset18


def _prod(x: Any, dims: Sequence[int] | None = None, output_dtype: int | None = None) -> object:  # noqa: ARG001
    op = _opset()
    axes = () if dims is None else (op.Constant(value_ints=list(dims)),)
    return op.ReduceProd(x, *axes, keepdims=False)


def _nearest_exact(x: object, output_size: Sequence[object], *scales: object) -> object:  # noqa: ARG001
    op = _opset()
    one = op.Constant(value_ints=[1])
    sizes = [
        op.Constant(value_ints=[size]) if isinstance(size, int) else op.Reshape(op.Cast(size, to=7), one) for size in output_size
    ]
    modes: dict[str, object] = {
        "coordinate_transformation_mode": "half_pixel",
        "mode": "nearest",
        "nearest_mode": "round_prefer_ceil",
    }
    return op.Resize(x, None, None, op.Concat(op.Shape(x, start=0, end=2), *sizes, axis=0), **modes)


_BETTER: dict[object, Callable[..., object]] = {
    _aten.scaled_dot_product_attention.default: _attention,
    _aten.einsum.default: _einsum,
    _aten.fft_irfft.default: _irfft,
    _aten.scatter_reduce.two: _scatter,
    **adaptive_pools.TABLE,
}
"""Replace existing ONNX functions or decompositions that give other results, lack complex numbers or fix sizes."""
_MISSING: dict[object, Callable[..., object]] = {
    _aten._native_multi_head_attention.default: _native_attention,
    _aten._transformer_encoder_layer_fwd.default: _encoder_layer,
    _aten.cdist.default: _cdist,
    _prims.signbit.default: _signbit,
    _aten.signbit.default: _signbit,
    **orderings.TABLE,
}
"""Decompositions of operators that have no ONNX function."""
TRANSLATIONS: dict[Any, Callable[..., object]] = {
    _prims.prod.default: _prod,  # cumprod decomposes into it
    _aten._upsample_nearest_exact1d.default: _nearest_exact,  # run_decompositions() does not change these
    _aten._upsample_nearest_exact2d.default: _nearest_exact,
    _aten._upsample_nearest_exact3d.default: _nearest_exact,
}
"""Direct translations to ONNX, for `torch.onnx.export(…, custom_translation_table=…)`."""
