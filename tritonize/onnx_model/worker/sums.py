"""Measure ONNX Runtime's own summation error: run the file unchanged, and with its long sums in float64.

Runs in a worker process, without torch. Both runs turn ONNX Runtime's optimizations off, since these could replace the measured
nodes by other kernels; the effect of optimizations is therefore not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime

from tritonize.core import arrays
from tritonize.core.arrays import Array
from tritonize.core.artifacts import TensorFiles
from tritonize.onnx_model.tasks import MeasuredSum, SamplesRequest, Sums
from tritonize.onnx_model.worker import sensitivity, wide_sums
from tritonize.onnx_model.worker import session as ort_session
from tritonize.process.stopwatch import Stopwatch


def measure(request: SamplesRequest) -> Sums:
    """Run each sample on the file unchanged and with wide sums, and measure the error of each node's sums.

    If the file has no such nodes, nothing runs and the outputs are `None`.
    """
    watch = Stopwatch()
    sample = arrays.load(request.samples.files, request.indices[0])
    model = onnx.load(request.path, load_external_data=False)
    shapes = sensitivity.inferred(model, {name: array.shape for name, array in sample.items()})
    sums = wide_sums.widen(model, shapes)
    if not sums:
        return Sums(plain=None, wide=None, nodes=(), library_seconds=0.0)
    path = request.path.with_name(f"{request.path.stem}.wide.onnx")  # beside the file, to share its external data
    try:
        onnx.save(model, path)
        with watch.library():
            wide = _session(path, request.libraries)
    finally:
        path.unlink(missing_ok=True)
    with watch.library():
        plain = _session(request.path, request.libraries)
    names = {output.name for output in plain.get_outputs()}
    files: dict[str, TensorFiles] = {}
    nodes: list[tuple[MeasuredSum, ...]] = []
    for position, index in enumerate(request.indices):
        batch = arrays.load(request.samples.files, index)
        with watch.library():
            outputs = {"plain": ort_session.run_batch(plain, batch, 1), "wide": ort_session.run_batch(wide, batch, 1)}
        nodes.append(tuple(_measured(each, outputs["wide"], equal_terms=index in request.samples.edges) for each in sums))
        for kind, found in outputs.items():
            kept = {name: array for name, array in found.items() if name in names}
            specs = tuple(arrays.spec_of(name, array) for name, array in kept.items())
            files[kind] = TensorFiles(directory=request.directory / kind, tensors=specs, count=position + 1)
            arrays.save(files[kind], position, kept)
    return Sums(plain=files["plain"], wide=files["wide"], nodes=tuple(nodes), library_seconds=watch.seconds)


def _session(path: Path, libraries: tuple[str, ...]) -> onnxruntime.InferenceSession:
    return ort_session.session(path, libraries, optimized=False)


def _measured(node: wide_sums.Sum, outputs: Mapping[str, Array], *, equal_terms: bool) -> MeasuredSum:
    terms = max(1, int(outputs[node.elements]) // max(1, int(outputs[node.sums])))
    bound = wide_sums.bound(terms, float(outputs[node.base]), equal_terms=equal_terms)
    return MeasuredSum(node=node.node, operator=node.operator, terms=terms, error=float(outputs[node.error]), bound=bound)
