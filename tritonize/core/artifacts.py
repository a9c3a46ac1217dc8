"""The values that the stages pass on: frozen dataclasses of paths and numbers, without modules or arrays.

In the order in which a run creates them (`Check` and `Report` are in `reports.py`):

    samples -> Reference -> OnnxArtifact -> StagedVersion -> ServerHandle -> Check ... -> Report -> PublishedVersion
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar  # Any: JSON data, which readers take apart by key

from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.decisions import Decision, Warned
from tritonize.core.errors import CodePlace
from tritonize.core.results import DRAWN

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

    Tensor names are free text, so files are named by position. In a packed set, many items share a file, stacked along a new
    first axis: `<directory>/<pack>/<position of the tensor>.npy`.
    """

    directory: Path
    tensors: tuple[TensorSpec, ...]
    count: int
    packed: tuple[tuple[int, int], ...] | None = None
    """Pack and row of each item; `None` if each item has its own files."""
    absent: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Item to the tensors that it does not have: optional inputs that a request leaves out."""

    def path(self, index: int, position: int) -> Path:
        """The file of tensor number `position` of item `index`."""
        return self.directory / str(self.packed[index][0] if self.packed else index) / f"{position}.npy"


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Which samples are the steps of one sequence: those from one start to the next. An edge case is a sequence of one step."""

    starts: tuple[int, ...]
    """The first sample of each sequence, in ascending order; sample 0 is the first one."""
    states: Mapping[str, str]
    """Input of a step to the output of the step before it that it equals."""
    unset: tuple[str, ...] = ()
    """The states that have no value at the start of a sequence, so that no output may depend on them there."""


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """The inputs that a model is compared on. One sample is one item; if the model is batched, its first axis is 1."""

    files: TensorFiles
    batched: bool
    origin: str
    """How to create them again, as text: `normal, seed 0`, or their files."""
    edges: Mapping[int, str] = field(default_factory=dict)
    """Index to name of the edge cases, which are the last samples: `zeros`, `ones`, `smallest`, `largest`. Each is sent alone."""
    sequences: Sequences | None = None
    """For a stateful model: which samples follow each other. Each sample has all inputs of the model, with controls and states."""
    mirrored: int = 0
    """How many of the drawn samples, the last of them, are mirrored copies of others."""

    @property
    def drawn(self) -> int:
        """The number of samples that are not edge cases."""
        return self.files.count - len(self.edges)

    requests: tuple[int, ...] = ()
    """For a decoupled model: the first sample of each request. A sample is one response, and the samples of a request have the same
    inputs. Empty for a model with one response to a request."""

    @property
    def together(self) -> list[tuple[int, ...]]:
        """The samples of each sequence of a stateful model, or of each request of a decoupled one; else empty."""
        starts = self.sequences.starts if self.sequences else self.requests
        ends = (*starts[1:], self.files.count)
        return [tuple(range(start, end)) for start, end in zip(starts, ends, strict=bool(starts))]

    def only(self, kept: Sequence[int], files: TensorFiles) -> SampleSet:
        """Some of the samples, in ascending order and with all that belong together, in files of their own."""
        edges = {place: self.edges[index] for place, index in enumerate(kept) if index in self.edges}

        def starts(of: Sequence[int]) -> tuple[int, ...]:
            return tuple(place for place, index in enumerate(kept) if index in set(of))

        sequences = replace(self.sequences, starts=starts(self.sequences.starts)) if self.sequences else None
        return replace(self, files=files, edges=edges, sequences=sequences, requests=starts(self.requests))

    def group(self, index: int) -> str:
        """The group that gates evaluate a sample in: all drawn samples together, each edge case by itself."""
        return self.edges.get(index, DRAWN)


SourceKind = Literal["torchscript", "exported_program", "factory", "module", "onnx", "python"]
"""`module`: an object of the calling Python process. `python`: a function that Triton's Python backend runs."""


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
    """The description of a model that `tritonize inspect` displays."""

    kind: str
    inputs: tuple[TensorSpec, ...]
    """A shape of `?` if the file does not store it."""
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    """Operator to number of occurrences, the most frequent first; for a factory, leaf modules by class."""
    parameters: int
    """Number of elements."""
    opset: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    """JSON data; the keys depend on the kind."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """PyTorch's outputs: one expected output per sample, in the model's own precision."""

    source: Source
    outputs: TensorFiles
    """One item per sample, in the samples' order. The specs carry the batch axis where the model is batched."""
    parameters: int
    """Number of elements in the parameters; 0 for a frozen TorchScript, whose weights are constants."""
    state: str | None = None
    """Checksum of its parameters and buffers, if it is a PyTorch model."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The model's output name to the served name, for outputs that had the name of an input."""


@dataclass(frozen=True, kw_only=True)
class OnnxArtifact:
    """An ONNX file that passed the checker and was loaded again."""

    path: Path
    data: Path | None = None
    """The external data file with the weights, if they are too large for one file."""
    node_map: Path | None
    """The file that maps its nodes to modules and lines of the PyTorch model; see `onnx_model.worker.origins`."""
    sha256: str
    """Of the file itself, without `data`."""
    size: int
    """Bytes, with `data`."""
    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    exporter: str
    """Name and version of the exporter, as the file states them."""
    strategy: str
    """Its name in `export.worker.strategies.STRATEGIES`."""
    simplified: bool
    optional: tuple[str, ...] = ()
    """Inputs with a default value in the file, which a client may omit."""
    precision: str = "fp32"
    """Precision of its computing nodes: `fp32`, `fp16` or `bf16`."""
    reduced_nodes: int = 0
    """Number of nodes in half precision, without casts."""
    kept_nodes: Mapping[str, int] = field(default_factory=dict)
    """Of a reduced file: the reason why nodes stayed in float32, to the number of nodes."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One strategy of the export ladder and its outcome."""

    strategy: str
    outcome: Literal["right", "wrong", "failed"]
    """`wrong`: the exported file's outputs differ from PyTorch's. `failed`: it exported no file."""
    seconds: float
    reason: str = ""
    """Why it is not `right`, in one line."""
    code: str | None = None
    """Code of the error, if it has one."""
    where: str | None = None
    """The file or the place that the error names."""
    place: CodePlace | None = None
    """The place in the user's model, if the error belongs to one."""
    next_step: str | None = None
    """What the user can do."""
    decisions: tuple[Decision, ...] = ()
    """Data-dependent branches and values that the exporter froze."""
    warned: tuple[Warned, ...] = ()
    """Warnings of the tracer."""


@dataclass(frozen=True, kw_only=True)
class StagedVersion:
    """A complete model directory in a staging folder, not yet published."""

    root: Path
    """A model repository with only this model; the embedded server serves it for the comparison."""
    model: str
    version: int

    @property
    def model_directory(self) -> Path:
        """The model's directory with config.pbtxt."""
        return self.root / self.model

    @property
    def version_directory(self) -> Path:
        """The version's directory with the model file."""
        return self.model_directory / str(self.version)


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """A version in the model repository."""

    repository: Path
    model: str
    version: int

    @property
    def version_directory(self) -> Path:
        """The version's directory with the model file."""
        return self.repository / self.model / str(self.version)


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A field of a model's configuration that the embedded server cannot load, so the model is served without it."""

    field: str
    """Path of the field, such as `instance_group[0]`."""
    value: str
    """Its value in short; empty for a field without a short one."""
    reason: str
    """What the embedded server lacks, as a clause."""
    needs: Literal["gpu", "triton"]
    """What a target has to declare: GPUs (`compute_capabilities`), or a Triton release (`triton`)."""


@dataclass(frozen=True, kw_only=True)
class ServerHandle:
    """Addresses and identity of a running server."""

    http_url: str
    """`host:port`, or an address with scheme and path."""
    grpc_url: str
    log: Path | None = None
    """The server's log; `None` for a server that tritonize did not start."""
    shm_prefix: str = "tritonize-"
    """Prefix of the names of all shared-memory files of this server."""
    local: bool = True
    """Whether it shares this machine's /dev/shm."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """Name to version: server, backend, runtime."""
    set_aside: Mapping[str, tuple[SetAside, ...]] = field(default_factory=dict)
    """Model to the fields of its configuration that it is served without; empty for a server that tritonize did not start."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Headers of every request, by protocol (`http`, `grpc`). They hold access keys, so they are never printed."""
    options: ConnectionOptions = field(default_factory=ConnectionOptions)
    """How to connect to a server that tritonize did not start."""


def to_json(value: object) -> Any:
    """An artifact as JSON-serializable data."""
    # Imported here to keep `tritonize --help` fast.
    from pydantic import TypeAdapter

    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_json(kind: type[T], plain: object) -> T:
    """The inverse of `to_json`. Raises pydantic.ValidationError."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(plain)
