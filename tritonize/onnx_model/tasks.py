"""The worker tasks for ONNX files, with the dataclasses of their requests and results; both processes import this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.onnx_model.ragged import Ragged
from tritonize.process.tasks import Task

INLINE_LIMIT = (1 << 31) - (1 << 26)
"""Bytes of weights up to which a model is a single file: a protobuf message holds 2 GiB at most, and the graph needs some of it."""


@dataclass(frozen=True, kw_only=True)
class FinishRequest:
    """Finish an exported file."""

    exported: Path
    """The file as the exporter wrote it."""
    path: Path
    """The path of the finished file."""
    simplify: bool
    """Whether to run onnxslim."""
    opset: int | None
    """The opset that the file must have; `None` accepts any."""
    consume: bool = True
    """Whether to delete the exported file after the finished one is written and checked."""
    inputs: tuple[TensorSpec, ...] | None = None
    """The model's inputs in order, if the exported file has the names of `ports.exported_as`; `None` keeps the file's names."""
    outputs: tuple[TensorSpec, ...] = ()
    """The model's outputs. They give a type and shape to outputs that lack them, such as the result of a custom operator."""
    optional: tuple[str, ...] = ()
    """Inputs that stay inputs although the file has a default value for them."""
    roots: tuple[Path, ...] = ()
    """The user's folders; the node map names source files relative to them."""
    scope: str = ""
    """Path of the user's module inside the exported module."""
    modules: tuple[str, ...] | None = None
    """Paths of all modules inside the user's module; `None` if unknown."""
    inline_limit: int = INLINE_LIMIT
    """Bytes of weights above which the weights go into a separate data file."""


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """Properties of an ONNX file that a worker wrote, read back after it was written."""

    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: str | None
    """Name of the data file with the weights, in the same folder; `None` if the weights are in the ONNX file."""
    node_map: str
    """Name of the file that maps nodes to modules and source lines, in the same folder; see `worker.origins`."""


@dataclass(frozen=True, kw_only=True)
class FinishResult(WrittenFile):
    """Properties of the finished file."""

    nodes: int
    parameters: int
    """Number of elements of all initializers."""
    producer: str
    """Name and version of the exporter."""
    optional: tuple[str, ...]
    """Inputs with a default value in the file; a client may omit them."""
    constants: tuple[str, ...]
    """Weights that the exported file also listed as inputs and that are constants in the finished file."""
    simplified: bool
    library_seconds: float
    """Seconds spent in onnx and onnxslim."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Run batches in ONNX Runtime."""

    path: Path
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    """Indices of the samples in each batch."""
    directory: Path
    """Folder for the outputs."""
    libraries: tuple[str, ...] = ()
    """Shared libraries with custom operators that the file uses."""
    apart: SampleSet | None = None
    """Further samples, each run alone. A failure on one of them is part of the result, not an error of the task."""
    roll_out: bool = False
    """Whether to run the sequences of the samples step by step first, since the samples have no states yet."""
    ragged: Ragged | None = None
    """How a request becomes the file's inputs, for a model with ragged inputs; each of its batches is one sample."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The outputs of ONNX Runtime, batch by batch."""

    outputs: tuple[TensorFiles, ...]
    """One set of files per batch, with one item each: the outputs of an incorrect file may differ in shape or type between
    batches."""
    seconds: tuple[float, ...]
    """Seconds of each run."""
    version: str
    """The version of ONNX Runtime."""
    library_seconds: float
    """Seconds spent in ONNX Runtime."""
    apart: tuple[TensorFiles | str, ...] = ()
    """For each sample that was run alone: its outputs, or the error's text if the run failed."""
    samples: SampleSet | None = None
    """The samples with the states of all steps, if the request asks for them."""


@dataclass(frozen=True, kw_only=True)
class SamplesRequest:
    """Run samples one by one."""

    path: Path
    samples: SampleSet
    indices: tuple[int, ...]
    directory: Path
    """Folder for outputs that the caller reads."""
    libraries: tuple[str, ...] = ()
    """Shared libraries with custom operators that the file uses."""


@dataclass(frozen=True, kw_only=True)
class MeasuredSum:
    """The error of one node with long sums: its float32 output compared with float64 on the same inputs."""

    node: str
    operator: str
    terms: int
    """Number of elements in one sum."""
    error: float
    """max |float32 - float64| of the node's output."""
    bound: float
    """The largest error that rounding explains; see `wide_sums.bound`."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """The outputs of a file, and the outputs of the same file with its long sums in float64."""

    plain: TensorFiles | None
    """Outputs of the unchanged file, one item per sample; `None` if the file has no long sums."""
    wide: TensorFiles | None
    """Outputs with sums in float64, one item per sample; `None` if the file has no long sums."""
    nodes: tuple[tuple[MeasuredSum, ...], ...]
    """For each sample, the error of each node with long sums."""
    library_seconds: float
    """Seconds spent in ONNX Runtime."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How far rounding alone moves the outputs."""

    moved: tuple[dict[str, float], ...]
    """For each sample, output name to max |difference| in the output's unit; infinite if rounding changes the output's shape."""
    chosen: frozenset[str]
    """Outputs that depend on a ranking of values, such as the indices of a sort."""
    library_seconds: float
    """Seconds spent in ONNX Runtime."""


@dataclass(frozen=True, kw_only=True)
class GraphDiffRequest:
    """Compare two files."""

    before: Path
    after: Path


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """An initializer that both files have under the same name, with different contents."""

    name: str
    sha256: tuple[str, str]
    """SHA-256 of type, shape and contents: before, after."""
    relative: float | None
    """||after - before|| / ||before||; `None` if the shapes differ or the result is not finite."""
    elements: int
    """Number of elements in the second file."""


@dataclass(frozen=True, kw_only=True)
class GraphDiff:
    """The differences between two files; every pair is (before, after)."""

    opset: tuple[int, int]
    nodes: tuple[int, int]
    """Number of nodes, including those of subgraphs and functions."""
    operators: Mapping[str, tuple[int, int]]
    """Number of nodes of each operator whose number differs, including those of subgraphs and functions."""
    inputs: Mapping[str, tuple[str, str]]
    """Type and shape of each input that differs; `none` if a file lacks the input."""
    outputs: Mapping[str, tuple[str, str]]
    """Type and shape of each output that differs; `none` if a file lacks the output."""
    weights: tuple[int, int]
    """Number of initializers."""
    weights_added: tuple[str, ...]
    weights_removed: tuple[str, ...]
    weights_changed: tuple[WeightChange, ...]
    """Sorted by relative change, largest first; changes without a relative change come before them."""


FINISH = Task(
    name="tritonize.onnx_model.tasks:FINISH",
    function="tritonize.onnx_model.worker.finishing:finish",
    request=FinishRequest,
    result=FinishResult,
    writes=("path", "exported"),
)
RUN = Task(
    name="tritonize.onnx_model.tasks:RUN",
    function="tritonize.onnx_model.worker.session:run",
    request=RunRequest,
    result=RunResult,
)
MEASURE_SUMS = Task(
    name="tritonize.onnx_model.tasks:MEASURE_SUMS",
    function="tritonize.onnx_model.worker.sums:measure",
    request=SamplesRequest,
    result=Sums,
)
MEASURE_SENSITIVITY = Task(
    name="tritonize.onnx_model.tasks:MEASURE_SENSITIVITY",
    function="tritonize.onnx_model.worker.sensitivity:measure",
    request=SamplesRequest,
    result=Sensitivity,
)
DIFF = Task(
    name="tritonize.onnx_model.tasks:DIFF",
    function="tritonize.onnx_model.worker.graph_diff:compare",
    request=GraphDiffRequest,
    result=GraphDiff,
)
