"""Write `models/`: the ONNX files, and items with PyTorch's answers. `python -m gpu.make`, on any machine with PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from gpu import networks
from gpu.cases import CASES, MODELS, Case


def write(case: Case) -> None:
    """One model and its answers."""
    module = networks.made(case.name)
    random = np.random.default_rng(0)
    kept: dict[str, np.ndarray] = {}
    for number, shape in enumerate(case.shapes):
        kept[f"x{number}"] = random.standard_normal((4, *shape)).astype(np.float32)
        with torch.inference_mode():
            reference = networks.made("cnn") if case.half else module
            kept[f"y{number}"] = reference(torch.from_numpy(kept[f"x{number}"])).numpy()
    np.savez_compressed(case.answers, **kept)
    example = torch.from_numpy(kept[f"x{len(case.shapes) // 2}"][:2])
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    if len(case.shapes) > 1:
        axes = {name: {0: "batch", 1: "length"} for name in axes}
    named = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), str(case.onnx), dynamo=False, opset_version=17, **named)


if __name__ == "__main__":
    MODELS.mkdir(exist_ok=True)
    for each in CASES:
        if each.of:
            continue
        write(each)
        print(each.name, each.onnx.stat().st_size, each.answers.stat().st_size)
