"""The values that the stages pass on: frozen dataclasses of paths and numbers, without modules or arrays.

In the order in which a run creates them:

    samples -> Reference -> OnnxArtifact -> StagedVersion -> ServerHandle -> Check ... -> Report -> PublishedVersion

Longer than 300 lines: these values refer to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar  # Any: JSON data, which readers take apart by key

from tritonize.core import notebook
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.decisions import Decision, Warned
from tritonize.core.errors import CodePlace
from tritonize.core.results import DRAWN, Gate, LeftOut, NoiseFloor, StageRow, Verdict
from tritonize.core.stages import Label, StageName
from tritonize.core.tolerance_advice import Pattern, ToleranceAdvice

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
class Element:
    """One element of an output for which expected and found differ."""

    index: tuple[int, ...]
    """One number per axis."""
    expected: float
    """PyTorch's value."""
    found: float
    """The value that was compared with it."""


@dataclass(frozen=True, kw_only=True)
class TensorCheck:
    """The comparison of one output: expected, found and the difference.

    Differences are computed in float64 over the elements that are finite on both sides. They are `None` if there are none, or
    if the shapes or types cannot be compared.
    """

    name: str
    """The name of the output."""
    passed: bool
    """Whether shape, type and every element are right."""
    reason: str | None
    """Why it failed, in one line; `None` if it passed."""
    expected_shape: tuple[int, ...] | None
    """PyTorch's shape; `None` if there is no such output."""
    found_shape: tuple[int, ...] | None
    """The shape that was found; `None` if the output is missing."""
    expected_dtype: str | None
    """PyTorch's element type."""
    found_dtype: str | None
    """The element type that was found."""
    rtol: float
    """The relative tolerance."""
    atol: float
    """The absolute tolerance, in the output's unit."""
    expected_nan: int = 0
    """Number of NaN in the expected output."""
    found_nan: int = 0
    """Number of NaN in the output that was found."""
    expected_inf: int = 0
    """Number of infinities in the expected output."""
    found_inf: int = 0
    """Number of infinities in the output that was found."""
    max_abs: float | None = None
    """Largest |found - expected|."""
    mean_abs: float | None = None
    """Mean |found - expected|."""
    max_rel: float | None = None
    """max |found - expected| / |expected| over elements with |expected| above a thousandth of its largest magnitude."""
    cosine: float | None = None
    """Cosine of the angle between expected and found."""
    largest: float | None = None
    """Largest finite expected magnitude; with a larger atol, every value of that size passes."""
    elements: int = 0
    """Number of elements."""
    mismatched: int = 0
    """Elements outside |found - expected| <= atol + rtol * |expected|."""
    worst: tuple[Element, ...] = ()
    """The elements furthest outside the tolerance, worst first."""
    least_atol: float | None = None
    """The smallest atol with which this output passes with `rtol`; `None` if no atol does."""
    least_rtol: float | None = None
    """The smallest rtol with which this output passes with `atol`; `None` if no rtol does."""
    pattern: Pattern | None = None
    """What the difference looks like, if it is not an error of rounding; looked for in outputs that failed."""
    factor: float | None = None
    """For the pattern `scaled`: what expected has to be multiplied by."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The comparison of all outputs of one batch at one stage with the reference."""

    stage: StageName
    """The stage, such as `http`."""
    batch_size: int
    """0 if the model is not batched."""
    samples: tuple[int, ...]
    """The samples of the batch, in order."""
    tensors: tuple[TensorCheck, ...]
    """One comparison per output."""
    seconds: float = 0.0
    """How long the response took."""

    @property
    def passed(self) -> bool:
        """Whether every output passed. A comparison without outputs does not pass."""
        return bool(self.tensors) and all(tensor.passed for tensor in self.tensors)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A difference that is not in a tensor: a hash, a configuration field, a missing file."""

    where: str
    """The file, field or model."""
    what: str
    """What differs, in one sentence."""
    expected: str | None = None
    """The required value."""
    found: str | None = None
    """The actual value."""
    stage: StageName | None = None
    """The stage whose responses it is about: that stage failed, also if every output that it compared passed. `files` if files
    of the version are not those that were proven."""
    next_step: str = ""
    """What to do about it, with commands in backticks; empty if the report as a whole says it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run with its verdict, time and memory."""

    name: Label
    """The name of the stage; for `tritonize check`, the model file."""
    verdict: Verdict
    """The verdict of this stage alone."""
    seconds: float
    """How long it took."""
    library_seconds: float = 0.0
    """The part spent in libraries (torch, ONNX, ONNX Runtime, the server), imports included."""
    peak_memory: int = 0
    """Peak resident memory of the stage's processes in bytes; 0 if it starts none."""
    note: str = ""
    """What it did, in short, or why it did not run."""
    optional: bool = False
    """If it did not run: whether the verdict does not depend on it, such as a transport without an address."""


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


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results of a run or a verification; the text, HTML and JSON reports and the exit code depend on it alone."""

    command: str
    """The command that made the report, such as `run`."""
    model: str
    """The name of the model."""
    version: int | None
    """The number of the version; `None` if there is none yet."""
    verdict: Verdict
    """The verdict of the whole."""
    checks: tuple[Check, ...] = ()
    """What was compared: one entry per batch and stage, with a comparison of each output."""
    rows: tuple[StageRow, ...] = ()
    """The error metrics of each output at each stage."""
    gates: tuple[Gate, ...] = ()
    """The result of every rule."""
    floors: tuple[NoiseFloor, ...] = ()
    """PyTorch's own errors, which the noise-floor ratio is relative to."""
    findings: tuple[Finding, ...] = ()
    """Differences that are not in a tensor."""
    stages: tuple[Stage, ...] = ()
    """The stages, in the order in which they ran."""
    notes: tuple[str, ...] = ()
    """Notes for the reader, in full sentences."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Name to version of every tool used."""
    proved_by: Mapping[str, str] = field(default_factory=dict)
    """Name to version of the server, backend and runtime whose outputs were compared."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Source, ONNX file and configuration as plain data."""
    tolerances: tuple[ToleranceAdvice, ...] = ()
    """For each output: the smallest tolerances with which all its comparisons pass, and what they mean."""
    left_out: tuple[LeftOut, ...] = ()
    """What the proof left out, and why. The summary of a passed report names it."""
    location: Path | None = None
    """The published version, or the staged one that failed."""
    published: bool = False
    """Whether the version is in the repository."""

    def __repr__(self) -> str:
        """One line of at most 79 characters; the full content is thousands of numbers, which are in `report.json`."""
        start = f"<Report of {self.command}, "
        without = f", {len(self.left_out)} left out" if self.left_out else ""
        rest = f"{self._of_version}: {self.verdict}, {self.comparisons} comparisons{without}>"
        model = notebook.cut(" ".join(self.model.split()), max(8, 79 - len(start) - len(rest)))
        return f"{start}{model}{rest}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, what is wrong, and a row for each stage and output. The report's page has more."""
        lines = [f"{self.comparisons} comparisons, {self.outside} outside the tolerance"] if self.checks else []
        lines += [f"left out: {each.name} ({each.part}): {each.why}" for each in self.left_out]
        lines += [f"{finding.where}: {finding.what}" for finding in self.findings]
        lines += [f"{'published' if self.published else 'lies in'}: {self.location}"] if self.location is not None else []
        compared: dict[tuple[StageName, str], list[TensorCheck]] = {}
        for check in self.checks:
            for tensor in check.tensors:
                compared.setdefault((check.stage, tensor.name), []).append(tensor)
        rows = []
        for (stage, output), tensors in compared.items():
            far = max((each.max_abs for each in tensors if each.max_abs is not None), default=None)
            bad = sum(not each.passed for each in tensors)
            rows.append([stage.heading, output, str(len(tensors)), "–" if far is None else f"{far:.2e}", str(bad)])
        header = ("stage", "output", "answers", "max abs", "bad")
        return notebook.fragment(f"{self.model}{self._of_version}", self.verdict, lines, header=header, rows=rows)

    @property
    def comparisons(self) -> int:
        """Number of comparisons: one per output of each response and batch. A response without outputs counts as one."""
        return sum(max(1, len(check.tensors)) for check in self.checks)

    @property
    def outside(self) -> int:
        """Number of comparisons outside the tolerance, or with another shape or type."""
        return sum(sum(not tensor.passed for tensor in check.tensors) if check.tensors else 1 for check in self.checks)

    @property
    def _of_version(self) -> str:
        return f" version {self.version}" if self.version is not None else ""


def to_json(value: object) -> Any:
    """An artifact as JSON-serializable data."""
    # Imported here to keep `tritonize --help` fast.
    from pydantic import TypeAdapter

    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_json(kind: type[T], plain: object) -> T:
    """The inverse of `to_json`. Raises pydantic.ValidationError."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(plain)
