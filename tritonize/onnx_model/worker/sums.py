"""How much of an ONNX file's answers is ONNX Runtime's own sum: the file as it is, and with its long sums in float64.

Runs inside a worker, without torch. Both run without ONNX Runtime's optimizations, which could put other kernels in the place of
the nodes that are measured; what optimizations change is then no part of the measure.
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


def measure(asked: SamplesRequest) -> Sums:
    """What the file answers to each sample as it is and with wide sums, and how far off the sums of each node are.

    Without such nodes nothing is run, and there are no answers.
    """
    watch = Stopwatch()
    sample = arrays.load(asked.samples.files, asked.indices[0])
    model = onnx.load(asked.path, load_external_data=False)
    shapes = sensitivity.inferred(model, {name: array.shape for name, array in sample.items()})
    sums = wide_sums.widen(model, shapes)
    if not sums:
        return Sums(plain=None, wide=None, nodes=(), library_seconds=0.0)
    path = asked.path.with_name(f"{asked.path.stem}.wide.onnx")  # beside the file, whose data it names
    try:
        onnx.save(model, path)
        with watch.library():
            wide = _session(path, asked.libraries)
    finally:
        path.unlink(missing_ok=True)
    with watch.library():
        plain = _session(asked.path, asked.libraries)
    names = {output.name for output in plain.get_outputs()}
    files: dict[str, TensorFiles] = {}
    told: list[tuple[MeasuredSum, ...]] = []
    for position, index in enumerate(asked.indices):
        batch = arrays.load(asked.samples.files, index)
        with watch.library():
            answers = {"plain": ort_session.answer(plain, batch, 1), "wide": ort_session.answer(wide, batch, 1)}
        told.append(tuple(_measured(each, answers["wide"], alike=index in asked.samples.edges) for each in sums))
        for kind, answer in answers.items():
            kept = {name: array for name, array in answer.items() if name in names}
            specs = tuple(arrays.spec_of(name, array) for name, array in kept.items())
            files[kind] = TensorFiles(directory=asked.directory / kind, tensors=specs, count=position + 1)
            arrays.save(files[kind], position, kept)
    return Sums(plain=files["plain"], wide=files["wide"], nodes=tuple(told), library_seconds=watch.seconds)


def _session(path: Path, libraries: tuple[str, ...]) -> onnxruntime.InferenceSession:
    return ort_session.session(path, libraries, optimized=False)


def _measured(node: wide_sums.Sum, answer: Mapping[str, Array], *, alike: bool) -> MeasuredSum:
    terms = max(1, int(answer[node.taken]) // max(1, int(answer[node.sums])))
    bound = wide_sums.bound(terms, float(answer[node.base]), alike=alike)
    return MeasuredSum(node=node.node, operator=node.operator, terms=terms, error=float(answer[node.error]), bound=bound)
