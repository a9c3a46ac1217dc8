"""What the stages hand on: frozen values that hold paths and numbers, never modules or arrays.

Read this file and you know the system:

    samples -> Reference -> OnnxArtifact -> StagedVersion -> ServerHandle -> Check ... -> Report -> PublishedVersion

Longer than 300 lines: the values that stages hand on refer to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tritonize.core.decisions import Decision, Warned
from tritonize.core.results import DRAWN, Gate, NoiseFloor, StageRow, Verdict
from tritonize.core.stages import Label, StageName

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Name, element type and shape of one input or output."""

    name: str
    dtype: str
    """A name of `dtypes.TABLE`, such as `fp32`."""
    shape: tuple[int | str, ...]
    """One entry per axis: a size in elements, or the name of a dynamic axis."""


@dataclass(frozen=True, kw_only=True)
class TensorFiles:
    """A numbered set of named arrays, one `.npy` file each: `<directory>/<index>/<position of the tensor>.npy`.

    Names of tensors are free text, so files are named by position. In a packed set many items share a file, along a new first
    axis: `<directory>/<pack>/<position of the tensor>.npy`.
    """

    directory: Path
    tensors: tuple[TensorSpec, ...]
    count: int
    packed: tuple[tuple[int, int], ...] | None = None
    """Pack and row of each item; `None` where each lies by itself."""

    def path(self, index: int, position: int) -> Path:
        """The file of tensor number `position` of item `index`."""
        return self.directory / str(self.packed[index][0] if self.packed else index) / f"{position}.npy"


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """The inputs a model is proven on. One sample is one item: where the model is batched its first axis is 1."""

    files: TensorFiles
    batched: bool
    origin: str
    """How to make them again, in words: `normal, seed 0`, or the files they came from."""
    edges: Mapping[int, str] = field(default_factory=dict)
    """Edge cases among them, the last ones, by number: `zeros`, `ones`, `smallest`, `largest`. Each is asked alone, in no batch."""

    @property
    def drawn(self) -> int:
        """How many are no edge cases."""
        return self.files.count - len(self.edges)

    def group(self, index: int) -> str:
        """What a sample is judged with: all drawn ones together, each edge case by itself."""
        return self.edges.get(index, DRAWN)


SourceKind = Literal["torchscript", "exported_program", "factory", "module", "onnx"]
"""A `module` is one of the caller's own process."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The model a version comes from."""

    kind: SourceKind
    location: str
    """The file, or `package.module:factory`."""
    sha256: Mapping[str, str]
    """SHA-256 of every file the model was read from, by name."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a model file says of itself."""

    kind: str
    inputs: tuple[TensorSpec, ...]
    """A shape of `?` where the file does not keep it."""
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    """How often each occurs, the most frequent first; for a factory, its leaf modules by class."""
    parameters: int
    """Number of elements."""
    opset: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    """JSON data, other for each kind."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What PyTorch answers: one expected output per sample, float32 as the model computes it."""

    source: Source
    outputs: TensorFiles
    """One item per sample, in the samples' order. The specs carry the batch axis where the model is batched."""
    parameters: int
    """Number of elements in the parameters; 0 for a frozen TorchScript, whose weights are constants."""
    state: str | None = None
    """Checksum of its parameters and buffers, where it is a PyTorch model."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The model's own names of outputs that are served under others, since an input has them, to those."""


@dataclass(frozen=True, kw_only=True)
class OnnxArtifact:
    """An ONNX file that was checked, reloaded and read back."""

    path: Path
    data: Path | None = None
    """The file beside it that holds the weights, where they are too large for one file."""
    node_map: Path | None
    """The file that says where its nodes come from in the PyTorch model; see `workers.origins`."""
    sha256: str
    """Of the file itself, without `data`."""
    size: int
    """Bytes, with `data`."""
    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    exporter: str
    """Who wrote the file and in which version, as the file says."""
    strategy: str
    """Which of `workers.export.STRATEGIES` it was."""
    simplified: bool
    optional: tuple[str, ...] = ()
    """Inputs that have a value in the file, which a client may leave out."""
    precision: str = "fp32"
    """Of its computing nodes: `fp32`, `fp16` or `bf16`."""
    reduced_nodes: int = 0
    """Nodes in half precision, without casts."""
    kept_nodes: Mapping[str, int] = field(default_factory=dict)
    """Why float32 nodes of a reduced file are so still, to how many there are."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One strategy of the export ladder, and what came of it."""

    strategy: str
    outcome: Literal["right", "wrong", "failed"]
    """`wrong`: it made a file that does not answer like PyTorch. `failed`: it made none."""
    seconds: float
    reason: str = ""
    """In one line; empty where it was right."""
    code: str | None = None
    """Of the error that it failed with, where that has one."""
    where: str | None = None
    """The line of the user's code and the module it is in, where they are known."""
    next_step: str | None = None
    """What the user could do about it."""
    decisions: tuple[Decision, ...] = ()
    """What the model decides on data, and the exporter has frozen."""
    warned: tuple[Warned, ...] = ()
    """What the tracer warned of, with its lines."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of an output where expected and found differ."""

    index: tuple[int, ...]
    expected: float
    found: float


@dataclass(frozen=True, kw_only=True)
class TensorCheck:
    """One output compared: what was expected, what was found, how far apart they are.

    Differences are computed in float64 over the elements that are finite on both sides; `None` where there is none, or
    where shapes or types forbid comparing.
    """

    name: str
    passed: bool
    reason: str | None
    """Why it failed, in one line; `None` where it passed."""
    expected_shape: tuple[int, ...] | None
    found_shape: tuple[int, ...] | None
    expected_dtype: str | None
    found_dtype: str | None
    rtol: float
    atol: float
    expected_nan: int = 0
    found_nan: int = 0
    expected_inf: int = 0
    found_inf: int = 0
    max_abs: float | None = None
    mean_abs: float | None = None
    max_rel: float | None = None
    """max |found - expected| / |expected| where |expected| exceeds a thousandth of its largest magnitude."""
    cosine: float | None = None
    largest: float | None = None
    """Largest finite magnitude expected; a tolerance above it lets anything of that size pass."""
    elements: int = 0
    mismatched: int = 0
    """Elements outside |found - expected| <= atol + rtol * |expected|."""
    worst: tuple[Element, ...] = ()
    """The elements furthest outside the tolerance, worst first."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One answer compared with its reference: all outputs of one batch over one path."""

    stage: StageName
    batch_size: int
    """0 where the model is not batched."""
    samples: tuple[int, ...]
    tensors: tuple[TensorCheck, ...]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every output passed; an answer without outputs passes nothing."""
        return bool(self.tensors) and all(tensor.passed for tensor in self.tensors)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that differs and is no tensor: a hash, a configuration field, a missing file."""

    where: str
    what: str
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run and what it cost."""

    name: Label
    verdict: Verdict
    seconds: float
    library_seconds: float = 0.0
    """The part spent inside the libraries that do the work (torch, ONNX, ONNX Runtime, the server), imports included."""
    peak_memory: int = 0
    """Largest resident memory of the stage's own processes, in bytes; 0 where it has none."""
    note: str = ""
    optional: bool = False
    """Where it did not run: whether the verdict is the same without it, as of a transport whose address was not given."""


@dataclass(frozen=True, kw_only=True)
class StagedVersion:
    """A complete model directory outside the repository, not visible to anyone yet."""

    root: Path
    """A model repository holding this model alone; what the proving server is started on."""
    model: str
    version: int

    @property
    def model_directory(self) -> Path:
        """The directory of the model, holding config.pbtxt."""
        return self.root / self.model

    @property
    def version_directory(self) -> Path:
        """The directory of the version, holding the model file."""
        return self.model_directory / str(self.version)


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """A version in place in the model repository."""

    repository: Path
    model: str
    version: int

    @property
    def version_directory(self) -> Path:
        """The directory of the version, holding the model file."""
        return self.repository / self.model / str(self.version)


@dataclass(frozen=True, kw_only=True)
class ServerHandle:
    """A running server: where it answers and what it is."""

    http_url: str
    """`host:port`."""
    grpc_url: str
    log: Path | None = None
    """The server's log; `None` for a server that is not ours."""
    shm_prefix: str = "tritonize-"
    """Start of the names of every shared-memory file that belongs to this server."""
    local: bool = True
    """Whether it shares this machine's /dev/shm."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """Name to version of what answers: server, backend, runtime."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """What a client sends along with every request, by protocol (`http`, `grpc`): keys, so they are never printed."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a run or a verification found out; text, JSON and the exit code are made from it alone."""

    command: str
    model: str
    version: int | None
    verdict: Verdict
    checks: tuple[Check, ...] = ()
    rows: tuple[StageRow, ...] = ()
    """How large the error is, stage by stage."""
    gates: tuple[Gate, ...] = ()
    floors: tuple[NoiseFloor, ...] = ()
    findings: tuple[Finding, ...] = ()
    stages: tuple[Stage, ...] = ()
    notes: tuple[str, ...] = ()
    """What a person who signs should know, in sentences."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Name to version of every tool that took part."""
    proved_by: Mapping[str, str] = field(default_factory=dict)
    """Name to version of the server, backend and runtime that answered."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Source, ONNX file and configuration as plain data."""
    location: Path | None = None
    """The published version, or the staged one that failed."""
    published: bool = False

    def __repr__(self) -> str:
        """Short: the whole of it is thousands of numbers, which `report.json` has."""
        version = f" version {self.version}" if self.version is not None else ""
        return f"<Report of {self.command}, {self.model}{version}: {self.verdict}>"


def to_json(value: Any) -> Any:
    """An artifact as plain JSON-able data."""
    # Imported here, since reading artifacts must stay free of cost for `tritonize --help`.
    from pydantic import TypeAdapter

    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_json(kind: type[T], plain: Any) -> T:
    """The artifact that `to_json` described. Raises pydantic.ValidationError."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(plain)
