"""What workers do with ONNX files, as both sides see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.process.tasks import Task

INLINE_LIMIT = (1 << 31) - (1 << 26)
"""Bytes of weights up to which a model is one file: protobuf holds less than 2 GiB, and the graph needs some of it."""


@dataclass(frozen=True, kw_only=True)
class FinishRequest:
    """The exported file, and where the finished one goes."""

    exported: Path
    path: Path
    simplify: bool
    opset: int | None
    """The one the file must have; any where it is `None`."""
    consume: bool = True
    """Whether the exported file may go once it is read."""
    inputs: tuple[TensorSpec, ...] | None = None
    """What the inputs are to be called, in order, where the file has the names of `ports.exported_as`."""
    outputs: tuple[TensorSpec, ...] = ()
    """What the model answers; declared where the exporter could not tell, as behind an operator of the user's."""
    optional: tuple[str, ...] = ()
    """Inputs that stay inputs although the file has a value for them."""
    roots: tuple[Path, ...] = ()
    """The user's folders; source files are named relative to them."""
    scope: str = ""
    """Path of the user's module in what was exported."""
    modules: tuple[str, ...] | None = None
    """Paths of the modules that there are in it; `None` where that is not known."""
    inline_limit: int = INLINE_LIMIT
    """Bytes of weights above which they go into a file of their own."""


@dataclass(frozen=True, kw_only=True)
class FinishResult:
    """What the finished file says of itself, after it was written and loaded again."""

    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: int
    parameters: int
    """Number of elements of its initializers."""
    producer: str
    optional: tuple[str, ...]
    """The inputs that have a value in the file, which a client may leave out."""
    constants: tuple[str, ...]
    """Weights that were inputs too in the exported file, and are none any more."""
    simplified: bool
    data: str | None
    """Name of the file beside it that holds the weights."""
    node_map: str
    """Name of the file beside it that says where its nodes come from; see `worker.origins`."""
    library_seconds: float


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Batches to run in ONNX Runtime."""

    path: Path
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    directory: Path
    """Where the answers go."""
    libraries: tuple[str, ...] = ()
    """Shared libraries with operators that the file uses."""
    apart: SampleSet | None = None
    """Further samples, each run alone; that the file fails on one is an answer and no error."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What ONNX Runtime answered, batch by batch."""

    outputs: tuple[TensorFiles, ...]
    """One set of one item per batch: what an ONNX file answers may differ in shape and type from what is expected."""
    seconds: tuple[float, ...]
    """Of each run."""
    version: str
    library_seconds: float
    apart: tuple[TensorFiles | str, ...] = ()
    """The answers to the samples that were run alone; a text if they are not available, with the reason."""


@dataclass(frozen=True, kw_only=True)
class SamplesRequest:
    """Samples to run one by one."""

    path: Path
    samples: SampleSet
    indices: tuple[int, ...]
    directory: Path
    """Where answers go that are kept."""
    libraries: tuple[str, ...] = ()
    """Shared libraries with operators that the file uses."""


@dataclass(frozen=True, kw_only=True)
class MeasuredSum:
    """One node that adds up many terms, in float32 against float64 on the same values."""

    node: str
    operator: str
    terms: int
    """Elements that one sum adds up."""
    error: float
    """max |in float32 - in float64| of what the node answers."""
    bound: float
    """What rounding explains at most, there."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a file answers, and what it would if ONNX Runtime did its long sums in float64."""

    plain: TensorFiles | None
    """One item per sample; `None` where the file has no such sums."""
    wide: TensorFiles | None
    nodes: tuple[tuple[MeasuredSum, ...], ...]
    """For each sample, of each node that has such sums."""
    library_seconds: float


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How far rounding alone moves answers."""

    moved: tuple[dict[str, float], ...]
    """Per sample, output to max |difference|, in the output's unit; infinite where rounding changes how many answers there are."""
    chosen: frozenset[str]
    """Outputs that depend on which of several values comes first, as indices of a sort do."""
    library_seconds: float


@dataclass(frozen=True, kw_only=True)
class GraphDiffRequest:
    """Two files to compare."""

    before: Path
    after: Path


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """An initializer that both files have, with other contents."""

    name: str
    sha256: tuple[str, str]
    """Of type, shape and contents; before, after."""
    relative: float | None
    """||after - before|| / ||before||; `None` where the shapes differ, or where that is no number."""
    elements: int


@dataclass(frozen=True, kw_only=True)
class GraphDiff:
    """What changed; pairs are before, after."""

    opset: tuple[int, int]
    nodes: tuple[int, int]
    operators: Mapping[str, tuple[int, int]]
    """Of each operator that does not occur as often in both, how often it does; subgraphs and functions included."""
    inputs: Mapping[str, tuple[str, str]]
    """Of each that differs, type and shape; `none` where one file lacks it."""
    outputs: Mapping[str, tuple[str, str]]
    weights: tuple[int, int]
    """Number of initializers."""
    weights_added: tuple[str, ...]
    weights_removed: tuple[str, ...]
    weights_changed: tuple[WeightChange, ...]
    """The largest change first, those without a number before all."""


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
