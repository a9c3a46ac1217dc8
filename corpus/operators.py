"""Single operators and small modules, written with plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from corpus.seeding import seeded


class Einsum(nn.Module):
    """Attention-like contractions, one with a repeated and one with a summed index."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.einsum("bhid,bhjd->bhij", x, y)
        return scores, torch.einsum("bhii->bh", scores)


class ConvTranspose(nn.Module):
    """Transposed convolution with stride, padding, output padding, dilation and groups."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        kind = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dimensions]
        self.up = kind(4, 8, 3, stride=2, padding=1, output_padding=1, dilation=2, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class GridSample(nn.Module):
    """Sampling at given places: bilinear, with two kinds of padding, and nearest."""

    def forward(self, x: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            functional.grid_sample(x, grid, align_corners=False),
            functional.grid_sample(x, grid, padding_mode="border", align_corners=True),
            functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False),
        )


class SpatialTransformer(nn.Module):
    """The spatial transformer network's core: an affine map that the input itself decides."""

    def __init__(self) -> None:
        super().__init__()
        self.locate = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 10, 6))

    def forward(self, x: Tensor) -> Tensor:
        theta = self.locate(x).view(-1, 2, 3)
        return functional.grid_sample(x, functional.affine_grid(theta, x.shape, align_corners=False), align_corners=False)


class ScatterAdd(nn.Module):
    """Sums into bins: many values go to one."""

    def forward(self, values: Tensor, index: Tensor) -> Tensor:
        bins = torch.zeros(values.shape[0], 8, dtype=values.dtype, device=values.device)
        return bins.scatter_add(1, index, values)


class ScatterMean(nn.Module):
    """Reductions by index over a fixed graph, as graph networks have them: many edges end at one node."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 4, 5, 0, 2]))
        self.register_buffer("target", torch.tensor([1, 1, 1, 2, 2, 0, 4, 4]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        messages = x[:, self.source]
        summed = torch.zeros_like(x).index_add(1, self.target, messages)
        index = self.target[None, :, None].expand_as(messages)
        largest = torch.zeros_like(x).scatter_reduce(1, index, messages, reduce="amax", include_self=False)
        return summed, largest


class IndexPut(nn.Module):
    """Writing at given places, and adding to places that repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.tensor([0, 2, 2, 5]))

    def forward(self, x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        written = x.clone()
        written[:, 1:4, ::2] = 0.5
        added = x.transpose(0, 1).index_put((self.rows,), values.transpose(0, 1), accumulate=True)
        return written, added.transpose(0, 1)


class Cumulative(nn.Module):
    """Running sums, products and maxima along a sequence of any length."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.cumsum(1), torch.cumprod(x.tanh() + 1, 1), torch.logcumsumexp(x, 1)


class TopK(nn.Module):
    """The best of a list, and what belongs to them."""

    def forward(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        best, index = scores.topk(5, dim=1)
        return best, boxes.gather(1, index[..., None].expand(-1, -1, boxes.shape[-1]))


class Sort(nn.Module):
    """Sorting both ways, with the order, and its inverse."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        falling, order = x.sort(dim=-1, descending=True)
        return falling, order, order.argsort(dim=-1)


class UnfoldFold(nn.Module):
    """Patches and back: overlaps are added up."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        patches = functional.unfold(x, kernel_size=3, padding=1, stride=2)
        return patches, functional.fold(patches, (16, 16), kernel_size=3, padding=1, stride=2), x.unfold(3, 4, 2)


class PixelShuffle(nn.Module):
    """Channels to space and space to channels, and a shuffle of channels."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return functional.pixel_shuffle(x, 2), functional.pixel_unshuffle(x, 2), functional.channel_shuffle(x, 4)


class Norms(nn.Module):
    """Every normalisation that works on one sample."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            [
                nn.GroupNorm(4, 8),
                nn.InstanceNorm2d(8, affine=True),
                nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
                nn.LayerNorm([8, 12, 12]),
                nn.LocalResponseNorm(3),
                nn.RMSNorm(12),
                nn.BatchNorm2d(8),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(norm(x) for norm in self.norms)


class Interpolate(nn.Module):
    """Every mode of resizing a picture of any size, by a factor and to a size."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (
            functional.interpolate(image, scale_factor=2, mode="nearest"),
            functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False),
            functional.interpolate(image, size=(9, 11), mode="bilinear", align_corners=True),
            functional.interpolate(image, scale_factor=1.5, mode="bicubic", align_corners=False),
            functional.interpolate(image, size=(9, 11), mode="nearest-exact"),
        )


class Interpolate3d(nn.Module):
    """Resizing a volume."""

    def forward(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        return (
            functional.interpolate(volume, scale_factor=2, mode="trilinear", align_corners=False),
            functional.interpolate(volume, size=(5, 9, 7), mode="trilinear", align_corners=True),
        )


class Pools(nn.Module):
    """Pooling of every kind."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (
            functional.adaptive_avg_pool2d(x, (4, 3)),
            functional.adaptive_max_pool2d(x, 1),
            functional.interpolate(x, size=(7, 5), mode="area"),
            functional.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
            functional.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, dilation=2),
            functional.lp_pool2d(x.abs(), 2.0, 2),
        )


class Paddings(nn.Module):
    """Padding of every kind."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pad = (1, 2, 3, 0)
        return tuple(functional.pad(x, pad, mode=mode) for mode in ("constant", "reflect", "replicate", "circular"))


class Attention(nn.Module):
    """Multi-head attention over a sequence of any length, with a padding mask and with its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        answer, weights = self.attention(x, x, x, key_padding_mask=padding)
        return answer, weights


class ScaledDotProduct(nn.Module):
    """PyTorch's own attention function: causal, and with an additive mask."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        causal = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return causal, functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class Decoder(nn.Module):
    """A transformer decoder layer: causal self-attention, cross-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(16, 4, 32, batch_first=True, norm_first=True)

    def forward(self, target: Tensor, memory: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.layer(target, memory, tgt_mask=mask, tgt_is_causal=True)


class Recurrent(nn.Module):
    """A recurrent network over a sequence of any length: all states and the last ones, batch first."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.net = getattr(nn, kind)(6, 10, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        states, last = self.net(x)
        hidden = last[0] if isinstance(last, tuple) else last
        return states, hidden.transpose(0, 1)


class CellLoop(nn.Module):
    """A recurrent cell in a Python loop over a sequence of fixed length."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.new_zeros(x.shape[0], 10)
        cell = torch.zeros_like(hidden)
        steps = []
        for step in range(x.shape[1]):
            hidden, cell = self.cell(x[:, step], (hidden, cell))
            steps.append(hidden)
        return torch.stack(steps, dim=1)


class EmbeddingBag(nn.Module):
    """Bags of embeddings, reduced in each of three ways."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.ModuleList([nn.EmbeddingBag(20, 8, mode=mode) for mode in ("sum", "mean", "max")])

    def forward(self, ids: Tensor) -> Tensor:
        return torch.cat([bag(ids) for bag in self.bags], dim=1)


class RollFlip(nn.Module):
    """Moving a picture around: roll, flip, rotation, triangles, diagonals."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.roll((1, -2), (2, 3)), x.flip(3), torch.rot90(x, 1, (2, 3)), x.tril(1), torch.diagonal(x, dim1=2, dim2=3)


class ConvStft(nn.Module):
    """A short-time Fourier transform without complex numbers: a convolution with sines and cosines."""

    def __init__(self, size: int = 32, hop: int = 8) -> None:
        super().__init__()
        angle = 2 * torch.pi * torch.arange(size // 2 + 1)[:, None] * torch.arange(size)[None, :] / size
        window = torch.hann_window(size)
        self.register_buffer("kernel", torch.cat([angle.cos() * window, -angle.sin() * window])[:, None])
        self.hop = hop

    def forward(self, signal: Tensor) -> Tensor:
        spectrum = functional.conv1d(signal[:, None], self.kernel, stride=self.hop)
        real, imaginary = spectrum.chunk(2, dim=1)
        return (real**2 + imaginary**2 + 1e-6).log()


class Stft(nn.Module):
    """PyTorch's own short-time Fourier transform, as magnitudes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(32))

    def forward(self, signal: Tensor) -> Tensor:
        return torch.stft(signal, 32, 8, window=self.window, center=True, return_complex=True).abs()


class Fourier(nn.Module):
    """A spectral convolution: the layer of a Fourier neural operator."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 6, 2) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x)[..., :6]
        mixed = torch.einsum("bix,iox->box", spectrum, torch.view_as_complex(self.weight))
        return torch.fft.irfft(mixed, n=x.shape[-1])


class Quantizer(nn.Module):
    """The nearest code of a codebook: distances, argmin, a look-up."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(16, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.cdist(x, self.codes[None].expand(x.shape[0], -1, -1)).argmin(-1)
        return functional.embedding(index, self.codes), index


class Buckets(nn.Module):
    """Numbers to classes: bucket borders, one-hot, and a masked mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("borders", torch.tensor([-1.0, -0.3, 0.0, 0.4, 1.2]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        index = torch.bucketize(x, self.borders)
        kept = torch.where(x > 0, x, torch.zeros_like(x))
        return index, functional.one_hot(index, 6), kept.sum(1) / (x > 0).sum(1).clamp(min=1)


class Activations(nn.Module):
    """Elementwise functions, among them some that few networks use."""

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            functional.gelu(x),
            functional.gelu(x, approximate="tanh"),
            functional.silu(x),
            functional.mish(x),
            functional.hardswish(x),
            functional.softplus(x, beta=2.0),
            functional.celu(x),
            functional.selu(x),
            functional.glu(x, dim=1).repeat(1, 2, 1),
            torch.erf(x),
            torch.asinh(x),
            torch.expm1(x.clamp(max=2)),
            torch.log1p(x.abs()),
            torch.atan2(x, x.flip(1)),
            torch.remainder(x, 0.7),
            torch.special.logit(torch.sigmoid(x)),
        ]
        return torch.stack(parts, dim=1)


class Reductions(nn.Module):
    """Statistics over all axes but the batch."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        flat = x.flatten(1)
        return (
            flat.std(1),
            flat.var(1, correction=0),
            flat.norm(dim=1),
            flat.logsumexp(1),
            flat.median(1).values,
            flat.amax(1) - flat.amin(1),
            flat.argmax(1),
            (flat > 0).any(1),
            flat[:, :6].prod(1),
        )


class Reparametrised(nn.Module):
    """Convolutions whose weights are computed: weight norm and spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 8, 3, padding=1))
        self.last = nn.utils.parametrizations.spectral_norm(nn.Conv1d(8, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))


class Repeat(nn.Module):
    """Sizes that the input decides: repeat, interleave, expand, arange, meshgrid over a picture of any size."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = torch.meshgrid(
            torch.arange(image.shape[2], device=image.device), torch.arange(image.shape[3], device=image.device), indexing="ij"
        )
        place = torch.stack([rows, columns]).to(image.dtype)[None].expand(image.shape[0], -1, -1, -1)
        return torch.cat([image, place / 10], dim=1), image.repeat_interleave(2, dim=2).repeat(1, 1, 1, 2)


class Linear3(nn.Module):
    """Small matrices: inverse, determinant, and a product."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        matrix = x @ x.transpose(1, 2) + 3 * torch.eye(3, dtype=x.dtype, device=x.device)
        return torch.linalg.inv(matrix), torch.linalg.det(matrix)


MODULES: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        Einsum, ConvTranspose, GridSample, SpatialTransformer, ScatterAdd, ScatterMean, IndexPut, Cumulative, TopK, Sort,
        UnfoldFold, PixelShuffle, Norms, Interpolate, Interpolate3d, Pools, Paddings, Attention, ScaledDotProduct, Decoder,
        Recurrent, CellLoop, EmbeddingBag, RollFlip, ConvStft, Stft, Fourier, Quantizer, Buckets, Activations, Reductions,
        Reparametrised, Repeat, Linear3,
    )
}  # fmt: skip


def module(name: str, **options: object) -> nn.Module:
    """One of the modules above, by its name."""
    return seeded(MODULES[name], **options)


def encoder_layer(**options: object) -> nn.Module:
    """PyTorch's transformer encoder layer, whose evaluation takes a fast path of its own."""
    return seeded(nn.TransformerEncoderLayer, 16, 4, 32, batch_first=True, **options)
