"""Published versions of a small model, y = relu(x @ w), made without torch and in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.support import server_models
from tritonize import repository
from tritonize.core import arrays
from tritonize.core.artifacts import OnnxArtifact, TensorFiles, TensorSpec
from tritonize.core.reports import Report
from tritonize.quality import gates, golden_set, noise_floor
from tritonize.quality.golden_set import GoldenSet
from tritonize.repository import evidence_place
from tritonize.source import samples
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.workflows import evidence

NAME = "small"
WEIGHTS = np.random.default_rng(0).standard_normal((16, 10), dtype=np.float32)


def publish(
    root: Path,
    version: int,
    weights: np.ndarray = WEIGHTS,
    *,
    operators: tuple[str, ...] = ("Relu",),
    place: evidence_place.Place = "inside",
    **described: Any,
) -> Path:
    """Put a version in place, with evidence as a run writes it; its folder."""
    described = {"inputs": {"x": {"shape": ["batch", 16]}}, "max_batch_size": 4, "samples": {"count": 6}, **described}
    model = schema.Model.model_validate({"source": "small.pt", "outputs": {"y": {}}, **described})
    with repository.staging(root) as run:
        drawn = samples.add_edges(model, samples.write(model, run.work / "samples"))
        answers = {dtype: _answers(run.work, model, drawn.files, weights, operators, dtype) for dtype in ("fp32", "fp64")}
        known = GoldenSet(
            samples=drawn,
            expected=answers["fp32"],
            exact=answers["fp64"],
            max_batch_size=model.max_batch_size,
            rules=gates.rules(model, drawn, answers["fp32"]),
            floors=noise_floor.noise_floors(drawn, answers["fp32"], answers["fp64"], precision="fp32"),
        )
        artifact = _graph(run.work / "model.onnx", model, weights, operators)
        files = {f"{version}/model.onnx": artifact.path}
        config = model_config.render(NAME, model, artifact)
        staged = repository.stage(run, NAME, version, files=files, texts={repository.CONFIG: config})
        golden_set.write(known, staged.version_directory / repository.EVIDENCE / "golden")
        evidence.write(staged, Report(command="run", model=NAME, version=version, verdict="passed"), model)
        return repository.publish(staged, root, allow_change=True, place=place).version_directory


def _answers(
    folder: Path, model: schema.Model, inputs: TensorFiles, weights: np.ndarray, operators: tuple[str, ...], dtype: str
) -> TensorFiles:
    tensors = (TensorSpec(name="y", dtype=dtype, shape=("batch", weights.shape[1])),)
    files = TensorFiles(directory=folder / dtype, tensors=tensors, count=inputs.count)
    kind = arrays.numpy_dtype(dtype)
    for index in range(inputs.count):
        answer = arrays.load(inputs, index)["x"].astype(kind) @ weights.astype(kind)
        arrays.save(files, index, {"y": np.maximum(answer, 0) if "Relu" in operators else answer})
    return files


def _graph(path: Path, model: schema.Model, weights: np.ndarray, operators: tuple[str, ...]) -> OnnxArtifact:
    names = [*(f"v{number}" for number in range(len(operators))), "y"]
    nodes = [helper.make_node("MatMul", ["x", "w"], [names[0]])]
    nodes += [helper.make_node(kind, [names[number]], [names[number + 1]]) for number, kind in enumerate(operators)]
    length = model.inputs["x"].shape[1]
    server_models.save(
        path,
        nodes,
        [("x", TensorProto.FLOAT, ["batch", length])],
        [("y", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        {"w": weights},
    )
    return OnnxArtifact(
        path=path,
        node_map=None,
        sha256="",
        size=path.stat().st_size,
        opset=18,
        ir_version=10,
        inputs=(TensorSpec(name="x", dtype="fp32", shape=("batch", length)),),
        outputs=(TensorSpec(name="y", dtype="fp32", shape=("batch", weights.shape[1])),),
        exporter="",
        strategy="legacy",
        simplified=False,
    )
