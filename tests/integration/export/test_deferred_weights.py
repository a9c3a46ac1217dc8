"""A large model's weights go into a data file, and the exported model is the same as without."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from tritonize.export.worker import deferred_weights


class Tied(torch.nn.Module):
    """A convolution with normalization, which the exporter fuses, a weight that is used twice, and an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3)
        self.norm = torch.nn.BatchNorm2d(8)
        self.first = torch.nn.Linear(8, 8)
        self.second = torch.nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.scale = torch.nn.Parameter(torch.randn(8, 8).to(torch.float16))
        self.register_buffer("table", torch.arange(64).reshape(8, 8))

    def forward(self, image: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.norm(self.convolution(image)).mean((2, 3))
        return self.second(torch.relu(self.first(features))), self.scale[rows], self.table[rows]  # type: ignore[index]


def _export(module: torch.nn.Module, path: Path) -> onnx.ModelProto:
    with torch.no_grad(), deferred_weights.deferred(module, path):
        torch.onnx.export(module, (torch.zeros(2, 3, 8, 8), torch.tensor([1, 3])), str(path), dynamo=False, opset_version=18)
    return onnx.load(path)


def test_the_model_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = Tied().eval()
    plain = _export(module, tmp_path / "plain.onnx")
    assert not (tmp_path / "plain.onnx.weights").exists()  # it is small
    monkeypatch.setattr(deferred_weights, "LARGE", 1)
    original = torch._C.Graph._export_onnx
    split = _export(module, tmp_path / "split.onnx")
    assert torch._C.Graph._export_onnx is original
    assert (tmp_path / "split.onnx").stat().st_size < (tmp_path / "plain.onnx").stat().st_size
    for tensor in split.graph.initializer:
        tensor.ClearField("data_location")
        del tensor.external_data[:]
    assert split.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)
    assert {tensor.data_type for tensor in plain.graph.initializer} >= {1, 7, 10}  # float, int64, float16


def test_it_is_undone_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_weights, "LARGE", 1)
    original = torch._C.Graph._export_onnx
    with pytest.raises(RuntimeError, match="stop"), deferred_weights.deferred(Tied(), tmp_path / "model.onnx"):
        raise RuntimeError("stop")
    assert torch._C.Graph._export_onnx is original
