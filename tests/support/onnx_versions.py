"""Published versions of any ONNX file, with ONNX Runtime's own outputs as evidence; made without a worker or a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from tests.support.server_models import Value
from tritonize import repository
from tritonize.core import arrays
from tritonize.core.artifacts import OnnxArtifact, TensorFiles, TensorSpec
from tritonize.core.dtypes import by_onnx
from tritonize.core.reports import Report
from tritonize.onnx_model import ragged
from tritonize.quality import gates, golden_set
from tritonize.source import samples
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.workflows import evidence


def graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    values: tuple[Sequence[Value], Sequence[Value]],
    constants: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write an ONNX file of opset 18, and of the operators for text and labels in `ai.onnx.ml`; inputs and outputs are `values`."""
    inputs, outputs = ([helper.make_tensor_value_info(*value) for value in each] for each in values)
    weights = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 2)]
    made = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    onnx.save(helper.make_model(made, opset_imports=imports, ir_version=9), path)
    return path


def publish(root: Path, name: str, path: Path, *, labels: dict[str, str] | None = None, **described: Any) -> Path:
    """Publish a file as version 1 of a model, with samples of the spec's fields `described`; return the version's folder.

    Args:
        labels: output to the text of its label file.
    """
    model = schema.Model.model_validate({"source": str(path), **described})
    session, joined = onnxruntime.InferenceSession(path), ragged.of(model)
    outputs = _tensors(path, "output")
    with repository.staging(root) as run:
        drawn = samples.add_omissions(model, samples.write(model, run.work / "samples"))
        expected = TensorFiles(directory=run.work / "expected", tensors=outputs, count=drawn.files.count)
        for index in range(drawn.files.count):
            request = arrays.load(drawn.files, index)
            sent = joined.model_inputs(request) if joined else request
            found = session.run([each.name for each in outputs], dict(sent))
            arrays.save(expected, index, dict(zip([each.name for each in outputs], found, strict=True)))
        known = golden_set.GoldenSet(
            samples=drawn,
            expected=expected,
            max_batch_size=model.largest_request,
            rules=gates.rules(model, drawn, expected),
            why_not="the source is an ONNX file",
            answered_by=golden_set.ONNX_SOURCE,
        )
        files = {output: model_config.label_filename(output, text) for output, text in (labels or {}).items()}
        config = model_config.render(name, model, _artifact(path, session), labels=files)
        texts = {repository.CONFIG: config, **{files[output]: text for output, text in (labels or {}).items()}}
        staged = repository.stage(run, name, 1, files={"1/model.onnx": path}, texts=texts)
        golden_set.write(known, staged.version_directory / repository.EVIDENCE / "golden")
        evidence.write(staged, Report(command="run", model=name, version=1, verdict="passed"), model)
        return repository.publish(staged, root, allow_change=True).version_directory


def _tensors(path: Path, kind: str) -> tuple[TensorSpec, ...]:
    found = []
    for each in getattr(onnx.load(path).graph, kind):
        tensor = each.type.tensor_type
        shape = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
        found.append(TensorSpec(name=each.name, dtype=by_onnx(tensor.elem_type).name, shape=shape))
    return tuple(found)


def _artifact(path: Path, session: onnxruntime.InferenceSession) -> OnnxArtifact:
    return OnnxArtifact(
        path=path,
        node_map=None,
        sha256="",
        size=path.stat().st_size,
        opset=18,
        ir_version=9,
        inputs=_tensors(path, "input"),
        outputs=_tensors(path, "output"),
        exporter="",
        strategy="",
        simplified=False,
        optional=tuple(each.name for each in session.get_overridable_initializers()),
    )
