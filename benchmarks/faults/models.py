"""Ten small healthy models of real structure, with outputs from a ten-thousandth to ten thousand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmarks.faults.layers import Encoder, Normalize, Residual, Scale
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Healthy:
    """A model of the bench, without weights: those are drawn by seed."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Mapping[str, schema.Input]
    outputs: Mapping[str, schema.Output]
    axes: Mapping[str, schema.Axis] = field(default_factory=dict)
    max_batch_size: int = 4
    samples: int = 4
    seeds: int | None = None
    """How many at most; `None` for as many as are asked for."""
    faults: tuple[str, ...] | None = None
    """Those that are put into it; `None` for all."""

    def spec(self, seed: int) -> schema.Model:
        """What a user would write for it."""
        return schema.Model(
            source="benchmarks.faults:model",
            inputs=dict(self.inputs),
            outputs=dict(self.outputs),
            axes=dict(self.axes),
            max_batch_size=self.max_batch_size,
            samples=schema.Samples(count=self.samples, seed=seed),
        )

    def module(self, seed: int) -> nn.Module:
        """The model with the weights of a seed, in evaluation mode."""
        module = self.make().eval()
        draw_weights(module, seed)
        return module


def draw_weights(module: nn.Module, seed: int) -> None:
    """Weights that keep the size of what passes through, as trained ones do; running statistics like those of real data."""
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor, std: float, mean: float = 0.0) -> Tensor:
        kind = like.dtype if like.is_complex() else torch.float32
        return torch.randn(like.shape, generator=generator, dtype=kind) * std + mean

    with torch.no_grad():
        for layer in module.modules():
            norm = isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm)
            for name, weight in layer.named_parameters(recurse=False):
                if weight.is_complex():
                    weight.copy_(normal(weight, 1.0))
                elif norm:
                    weight.copy_(normal(weight, 0.2, 1.0 if name == "weight" else 0.0))
                elif weight.ndim > 1:
                    gain = 1.0 if isinstance(layer, nn.LSTM | nn.GRU | nn.Embedding) else 1.4
                    fan = 1 if isinstance(layer, nn.Embedding) else weight[0].numel()
                    weight.copy_(normal(weight, gain / math.sqrt(fan)))
                else:
                    weight.copy_(normal(weight, 0.1))
            if norm and not isinstance(layer, nn.LayerNorm):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.copy_(normal(layer.running_mean, 0.3))
                layer.running_var.copy_(normal(layer.running_var, 0.3).exp())


class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.1], [1.3], 1)
        self.layers = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 4))
        self.scale = Scale(1e4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.scale(self.layers(self.normalize(x)))
        return answer


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([120.0, 115.0, 105.0], [58.0, 57.0, 59.0], 2)
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.head(self.features(self.normalize(image)))
        return answer


class ResidualNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.48, 0.45, 0.4], [0.23, 0.22, 0.23], 2)
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.blocks = nn.Sequential(Residual(12), Residual(12))
        self.pool = nn.Sequential(nn.AvgPool2d(6), nn.Flatten())
        self.head = nn.Linear(48, 12)

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.head(self.pool(self.blocks(self.stem(self.normalize(image)))))
        return answer


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.2], [0.7], 3)
        self.enter = nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6), nn.LeakyReLU(0.1))
        self.down = nn.Sequential(nn.Conv3d(6, 10, 3, stride=2, padding=1), nn.BatchNorm3d(10), nn.LeakyReLU(0.1))
        self.deep = nn.Sequential(nn.Conv3d(10, 10, 3, padding=1), nn.LeakyReLU(0.1))
        self.up = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)
        self.join = nn.Sequential(nn.Conv3d(16, 8, 3, padding=1), nn.LeakyReLU(0.1))
        self.head = nn.Conv3d(8, 3, 1)

    def forward(self, volume: Tensor) -> Tensor:
        high = self.enter(self.normalize(volume))
        low = self.up(self.deep(self.down(high)))
        answer: Tensor = self.head(self.join(torch.cat([high, low], dim=1)))
        return answer


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(50, 16), nn.Embedding(16, 16)
        self.layers = nn.ModuleList([Encoder(16, 2), Encoder(16, 2)])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 6)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x)
        weight = mask[:, :, None].to(x.dtype)
        return x * weight, self.head((x * weight).sum(dim=1) / weight.sum(dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.0], [0.8], 1)
        self.lstm = nn.LSTM(8, 16, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(32, 12, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, series: Tensor) -> Tensor:
        x, _ = self.lstm(self.normalize(series))
        x, _ = self.gru(x)
        answer: Tensor = self.head(x)
        return answer


class Distribution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.5], [0.3], 1)
        self.layers = nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.LayerNorm(40), nn.Linear(40, 12 * 12))
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.softmax(self.layers(self.normalize(x)).reshape(-1, 12, 12))
        return answer


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([127.0, 127.0, 127.0], [64.0, 64.0, 64.0], 2)
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 10, 3, stride=2, padding=1), nn.BatchNorm2d(10), nn.SiLU()),
            *(nn.Conv2d(10, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.SiLU()),
        )
        self.boxes, self.scores, self.sigmoid = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 4, 1), nn.Sigmoid()
        self.size = Scale(64.0)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(self.normalize(image))
        centre, extent = self.boxes(x).flatten(2).transpose(1, 2).chunk(2, dim=-1)
        centre, extent = torch.sigmoid(centre), 0.5 * torch.sigmoid(extent)
        boxes = self.size(torch.cat([centre - extent, centre + extent], dim=-1))
        return boxes, self.sigmoid(self.scores(x).flatten(2).transpose(1, 2))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ELU(), nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ELU()),
        )
        self.decode = nn.Sequential(
            *(nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1), nn.ELU(), nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1)),
        )
        self.tanh = nn.Tanh()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encode(image)
        return self.tanh(self.decode(code)), code


class Audio(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize([0.01], [0.4], 1)
        self.layers = nn.Sequential(
            *(nn.Conv1d(1, 8, 9, padding=4), nn.BatchNorm1d(8), nn.ReLU()),
            *(nn.Conv1d(8, 8, 9, padding=8, dilation=2), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 2, 5, padding=2)),
        )
        self.scale = Scale(1e-4)

    def forward(self, wave: Tensor) -> Tensor:
        answer: Tensor = self.scale(self.layers(self.normalize(wave)))
        return answer


def image(channels: int, size: int, low: float, high: float) -> schema.Input:
    """A square image, its values in a range."""
    return schema.Input(shape=["batch", channels, size, size], range=(low, high))


LARGE = schema.Tolerance(rtol=1e-4, atol=1.0)
"""For outputs of some ten thousand: a ten-thousandth of their size, as a user gives it who knows their unit."""

MODELS = (
    Healthy(
        name="regression",
        make=Regression,
        inputs={"x": schema.Input(shape=["batch", 16])},
        outputs={"value": schema.Output(tolerance=LARGE)},
    ),
    Healthy(
        name="classifier",
        make=Classifier,
        inputs={"image": image(3, 16, 0, 255)},
        outputs={"logits": schema.Output(kind="classes")},
    ),
    Healthy(
        name="residual",
        make=ResidualNet,
        inputs={"image": image(3, 24, 0, 1)},
        outputs={"logits": schema.Output(kind="classes")},
    ),
    Healthy(
        name="unet3d",
        make=UNet,
        inputs={"volume": schema.Input(shape=["batch", 1, 8, 8, 8])},
        outputs={"logits": schema.Output(kind="segmentation")},
    ),
    Healthy(
        name="transformer",
        make=Transformer,
        inputs={
            "ids": schema.Input(dtype="int64", shape=["batch", "length"], range=(1, 49), distribution="token_ids"),
            "mask": schema.Input(dtype="int64", shape=["batch", "length"], distribution="padding_mask"),
        },
        outputs={"tokens": schema.Output(), "pooled": schema.Output()},
        axes={"length": schema.Axis(min=6, opt=12, max=16)},
    ),
    Healthy(
        name="recurrent",
        make=Recurrent,
        inputs={"series": schema.Input(shape=["batch", "steps", 8])},
        outputs={"states": schema.Output()},
        axes={"steps": schema.Axis(min=4, opt=8, max=12)},
    ),
    Healthy(
        name="distribution",
        make=Distribution,
        inputs={"x": schema.Input(shape=["batch", 24], range=(0, 1))},
        outputs={"probabilities": schema.Output(kind="distribution")},
    ),
    Healthy(
        name="detector",
        make=Detector,
        inputs={"image": image(3, 16, 0, 255)},
        outputs={"boxes": schema.Output(), "scores": schema.Output()},
    ),
    Healthy(
        name="autoencoder",
        make=Autoencoder,
        inputs={"image": image(1, 16, -1, 1)},
        outputs={"image_out": schema.Output(), "code": schema.Output()},
    ),
    Healthy(
        name="audio",
        make=Audio,
        inputs={"wave": schema.Input(shape=["batch", 1, 64])},
        outputs={"signal": schema.Output()},
    ),
)
