"""The schema of a specification: the models of one repository and their settings, validated before any work starts.

`tritonize.spec.loader` reads a `Spec` from YAML, and the command line builds one with a single model from flags. The JSON schema
in docs/spec.schema.json is generated from these classes.

Longer than 300 lines: one document is one file, from which its JSON schema is made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal  # Any: with `object`, pydantic's JSON schema of a field differs

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from tritonize.core import dtypes, names, suggestions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import export as wording
from tritonize.core.messages import specification
from tritonize.core.results import Kind
from tritonize.spec.builder import Settings

DEFAULT_RTOL = 1e-4
DEFAULT_ATOL = 9e-4
DEFAULT_OPSET = 18
DEFAULT_DEADLINE = 900.0
MAX_BATCH_SIZE = 4096
MAX_SIZE = 2**31 - 1
"""Largest size of an axis, in elements."""
MAX_AXES = 32
"""Largest number of axes, which is the limit of NumPy before version 2."""
DEFAULT_MAX_BATCH_SIZE = 2
"""Default for a model that is described by flags or by an example instead of a spec."""

_LONGEST_NAME = 220
"""Filesystems limit names to 255 bytes, and some file names consist of the model's name and a suffix."""


def _model_name(name: str) -> str:
    if not names.is_model(name):
        raise ValueError(wording.MODEL_NAME.text(name=name, suggested=names.model(name)))
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"the name {name[:20]}… is too long: at most {_LONGEST_NAME} characters; found {len(name)}")
    return name


def _not_an_address(path: Any) -> Any:
    """Refuse `s3://bucket/models`, of which pathlib would make a local folder `s3:`."""
    if isinstance(path, str | Path):
        try:
            local(path)
        except UsageError as error:
            raise ValueError(f"{error.what} Found: {error.found}") from error
    return path


def _tensor_name(name: str) -> str:
    if not names.is_tensor(name):
        raise ValueError(wording.TENSOR_NAME.text(name=name))
    return name


def _dtype(name: str) -> str:
    try:
        dtype = dtypes.by_name(name)
    except KeyError:
        raise ValueError(f"unknown element type {name!r}; {dtypes.hint(name)}") from None
    return dtype.name


def _shape(shape: list[int | str]) -> list[int | str]:
    if len(shape) > MAX_AXES:
        raise ValueError(f"a tensor has at most {MAX_AXES} axes; found {len(shape)}")
    for size in shape:
        if isinstance(size, bool) or (isinstance(size, int) and not 1 <= size <= MAX_SIZE):
            raise ValueError(f"a size must be a whole number from 1 to {MAX_SIZE}, or the name of a dynamic axis; found {size!r}")
        if isinstance(size, str) and not size.isidentifier():
            raise ValueError(
                f"{size!r} is not a valid name for a dynamic axis: use letters, digits and '_', and no digit at the start"
            )
    return shape


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(kwargs)
    except TypeError as error:
        raise ValueError(f"only strings, numbers, lists and mappings can be passed to a factory: {error}") from None
    return kwargs


def _distinct(values: list[str]) -> list[str]:
    if double := [each for position, each in enumerate(values) if each in values[:position]]:
        raise ValueError(f"each value may occur only once; found {', '.join(double)} again")
    return values


ComputeCapability = Annotated[str, StringConstraints(pattern=r"^\d{1,2}\.\d$")]

Function = Annotated[str, StringConstraints(pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$")]
"""`file.py:function`."""

SourceLine = Annotated[str, StringConstraints(pattern=r"^.+:[0-9]+$")]
"""`file.py:line`, as the error about a branch on data names it."""

VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
"""The name that `tritonserver --model-config-name` chooses a variant by."""

Distribution = Literal["normal", "uniform", "token_ids", "padding_mask", "one_hot"]
"""`token_ids` are integers of `range` up to the sample's length and zeros after it; `padding_mask` is 1 up to that length and 0
after it. Both run along the last axis, and all inputs of one sample have the same length. `one_hot` has a single 1 along the last
axis."""

ModelName = Annotated[str, AfterValidator(_model_name)]
TensorName = Annotated[str, AfterValidator(_tensor_name)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Tolerance(_Section):
    """Tolerance of an output: |actual - expected| <= atol + rtol * |expected| must hold for every element."""

    rtol: float = Field(DEFAULT_RTOL, ge=0, allow_inf_nan=False, description="relative to the expected value")
    atol: float = Field(DEFAULT_ATOL, ge=0, allow_inf_nan=False, description="in the output's own unit")


class Input(_Section):
    """One input of a model."""

    dtype: Annotated[str, AfterValidator(_dtype)] = Field("fp32", description="element type, such as fp32, int64, uint8 or string")
    shape: Annotated[list[int | str], AfterValidator(_shape)] = Field(description="a size, or the name of a dynamic axis, per axis")
    range: tuple[float, float] | None = Field(
        None, description="smallest and largest value of generated samples; default: normal(0, 1), integers 0 to 9"
    )
    optional: bool | None = Field(
        None,
        description="whether a request may leave the input out: a parameter with a default of a Python step; default: whether an "
        "ONNX file has a value for it",
    )
    ragged: bool = Field(
        False,
        description="whether Triton joins requests of different shapes to one batch (allow_ragged_batch): the ONNX file takes the "
        "elements of all requests in one axis, and their lengths from triton.batch_input",
    )
    distribution: Distribution | None = Field(
        None, description="how samples are drawn; default: normal, or uniform where there is a range"
    )


class Bound(_Section):
    """The allowed range of a metric, in the metric's unit."""

    min: float | None = Field(None, allow_inf_nan=False, description="smallest value that passes")
    max: float | None = Field(None, allow_inf_nan=False, description="largest value that passes")


class Output(_Section):
    """One output of a model."""

    dtype: Annotated[str, AfterValidator(_dtype)] | None = Field(
        None, description="element type; for a Python step only, since tritonize finds it out for every other model"
    )
    shape: Annotated[list[int | str], AfterValidator(_shape)] | None = Field(
        None, description="a size, or the name of a dynamic axis, per axis; for a Python step only"
    )
    tolerance: Tolerance = Field(Tolerance(), description="largest difference from PyTorch in float32")
    kind: Kind | None = Field(
        None, description="meaning of the output, which selects the metrics; default: inferred from its values"
    )
    noise_floor: float | None = Field(
        None, gt=0, description="largest noise-floor ratio k of this output; default: quality.noise_floor of the model"
    )
    metrics: dict[str, Bound] = Field(default_factory=dict, description="metric to its bounds, such as dice_min: {min: 0.99}")
    labels: Path | None = Field(None, description="file with one label per line, for the classification extension")


class Axis(_Section):
    """The sizes of a dynamic axis: every whole number from `min` to `max`, or every `step`-th."""

    min: int = Field(1, ge=0, le=MAX_SIZE, description="0 if the model accepts empty tensors, such as an empty key-value cache")
    opt: int | None = Field(None, ge=1, le=MAX_SIZE, description="the usual size; default: max")
    max: int = Field(ge=1, le=MAX_SIZE, description="the largest size")
    step: int = Field(
        1, ge=1, le=MAX_SIZE, description="the sizes are min, min + step, ...; for networks that repeatedly halve their input"
    )

    def between(self, share: float) -> int:
        """Return a size of the axis at about `share` (0 to 1) of its range, odd if the axis has odd sizes there."""
        count = (self.max - self.min) // self.step
        place = min(max(1, round(share * count)), max(1, count - 1)) if count > 1 else 0
        size = self.min + place * self.step
        return size + self.step if size % 2 == 0 and self.step % 2 and place + 1 < count else size


class Span(_Section):
    """The range of a dynamic axis in one optimization profile; omitted values are those of the axis."""

    min: int | None = Field(None, ge=0, description="the smallest size of the profile; default: that of the axis")
    opt: int | None = Field(None, ge=1, description="the size that TensorRT optimizes for; default: that of the axis")
    max: int | None = Field(None, ge=1, description="the largest size of the profile; default: that of the axis")


class Samples(_Section):
    """The samples on which a model is verified."""

    count: int = Field(4, ge=1, le=1_000_000, description="number of samples that are generated or taken from the function")
    seed: int = Field(0, ge=0, description="seed of the generator; the same seed gives the same samples")
    files: list[str] | str | None = Field(
        None,
        description=".npz files keyed by input name, folders with one .npy file per input, .txt files with one text per line, "
        ".json files with nested lists by input name (text that is not UTF-8: {b64: base64}), or patterns of them",
    )
    function: str | None = Field(
        None,
        description="package.module:function; called with 0, 1, ..., it returns one sample: a tensor, a tuple or a dictionary; "
        "None omits an optional input",
    )

    texts: dict[TensorName, Annotated[list[str], Field(min_length=1)]] = Field(
        default_factory=dict, description="for inputs of type string: the texts that the samples use in turn"
    )

    sequence_length: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="for a model with triton.sequence_batching: the number of steps of a sequence (4); then count is the number of "
        "sequences, and the first axis of a sample file is the time",
    )

    @property
    def patterns(self) -> list[str]:
        """The file patterns as a list; empty if samples are generated."""
        return [self.files] if isinstance(self.files, str) else list(self.files or ())


EdgeCase = Literal["zeros", "ones", "smallest", "largest"]


class Quality(_Section):
    """Gates in addition to the tolerance: the error relative to PyTorch in float64, edge cases, and NaN inputs."""

    quick: bool = Field(
        False,
        description="run and build leave out float64, edge cases, NaN inputs and most requests, as with --quick; the verdict is "
        "passed quick, which is no full proof",
    )
    noise_floor: float | None = Field(
        10.0,
        gt=0,
        description="largest noise-floor ratio k = max|found - float64| / max|PyTorch - float64| on a CPU; null: no such gate",
    )
    noise_floor_gpu: float | None = Field(100.0, gt=0, description="likewise on a GPU, which adds in a different order")
    float64: Literal["if_possible", "required", "off"] = Field(
        "if_possible", description="required: verification fails if PyTorch cannot run in float64 within its limits"
    )
    float64_deadline_s: float = Field(300.0, gt=0, description="seconds for PyTorch in float64")
    float64_memory_mib: int | None = Field(
        None, gt=0, description="MiB of memory for PyTorch in float64; default: memory_mib, and weights up to 2 GiB"
    )
    edge_cases: bool | list[EdgeCase] = Field(
        True, description="add zeros, ones and the ends of the range to the samples; a list selects some of them"
    )
    nan: Literal["note", "strict", "off"] = Field(
        "note",
        description="if the outputs for NaN and infinite inputs differ from PyTorch's: note reports it, strict fails the "
        "verification, off skips the comparison",
    )


class Target(_Section):
    """The machine that serves the repository, if it is not this one."""

    triton: Annotated[str, StringConstraints(pattern=r"^\d\d\.\d\d$")] | None = Field(
        None, description='Triton release, in quotes: "26.06"'
    )
    compute_capabilities: Annotated[list[ComputeCapability], AfterValidator(_distinct)] = Field(
        default_factory=list, description='compute capabilities of its GPUs, such as ["8.6", "9.0"]'
    )


class Evidence(_Section):
    """What a version keeps of its proof, and where."""

    place: Literal["inside", "outside", "none"] = Field(
        "inside",
        description="inside: in the version's directory; outside: in <repository>.evidence beside the repository; "
        "none: nothing is kept, so the version cannot be verified later",
    )
    golden_mib: int = Field(
        64, ge=1, le=1 << 20, description="MiB of samples and outputs that a version keeps; if not one sample fits: checksums alone"
    )
    samples: Literal["all", "synthetic", "hashes"] = Field(
        "all",
        description="all: also samples from files and functions, which may be confidential; synthetic: only those that tritonize "
        "generated; hashes: checksums alone",
    )


class KeepFp32(_Section):
    """Nodes that stay in fp32 in a graph of reduced precision."""

    nodes: list[str] = Field(default_factory=list, description="exact names of nodes, as in evidence/node_map.json")
    operators: list[str] = Field(default_factory=list, description="ONNX operators, such as Softmax")


class Weights(_Section):
    """A state dict that is an entry of its file, or whose names have a prefix."""

    file: Path = Field(description="file with the state dict: .safetensors, or a file of torch.save, loaded with weights_only=True")
    key: str = Field(
        "", description="entry of the file that holds the state dict, such as state_dict; dots separate nested entries"
    )
    prefix: str = Field("", description="prefix to remove from the names in the state dict, such as module., _orig_mod. or model.")


class Step(_Section):
    """One step of an ensemble. A tensor that both maps leave out has the same name in the ensemble as in the model."""

    model: ModelName = Field(description="a model of this specification")
    inputs: dict[TensorName, TensorName] = Field(
        default_factory=dict, description="input of the model to the name of its tensor in the ensemble"
    )
    outputs: dict[TensorName, TensorName] = Field(
        default_factory=dict, description="output of the model to the name of its tensor in the ensemble"
    )


class Model(_Section):
    """One model of the repository: exported from its source, a step in Python, or an ensemble of other models."""

    source: Annotated[str, AfterValidator(_not_an_address)] = Field(
        "",
        description="TorchScript file, or package.module:factory; for an ensemble, the PyTorch model of the whole",
    )
    python: Function | None = Field(
        None,
        description="file.py:function, from NumPy arrays to NumPy arrays; instead of a source",
    )
    files: list[Path] = Field(default_factory=list, description="further files that a Python step imports or reads from its folder")
    ensemble: list[Step] | None = Field(None, min_length=1, description="the steps of an ensemble")
    kwargs: Annotated[dict[str, Any], AfterValidator(_plain)] = Field(
        default_factory=dict, description="keyword arguments of the factory: strings, numbers, lists and mappings"
    )
    weights: Path | Weights | None = Field(
        None, description="state dict to load into the factory's module: a file, or {file:, key:, prefix:}"
    )
    operators: list[Path] = Field(default_factory=list, description="files that register operators; see tritonize.operator")
    custom_op_libraries: list[str] = Field(
        default_factory=list,
        description="shared libraries with custom operators for ONNX Runtime, as Triton finds them: absolute paths or bare names",
    )
    search_path: list[Path] = Field(default=[Path()], description="folders that are searched first for the factory's module")
    inputs: dict[TensorName, Input] = Field(
        default_factory=dict, description="default: read from a .pt2 or .onnx file, or from the samples of the function"
    )
    axes: dict[str, Axis] = Field(default_factory=dict, description="ranges of the dynamic axes, by name")
    outputs: dict[TensorName, Output] = Field(default_factory=dict, description="in order; default names: OUTPUT__0, ...")
    tolerance: Tolerance | None = Field(None, description="of the outputs without one of their own; default: rtol 1e-4, atol 9e-4")
    backend: Literal["onnxruntime", "tensorrt", "tensorrt_rtx"] = Field(
        "onnxruntime", description="Triton backend: onnxruntime serves the ONNX file, the others serve a plan built from it"
    )
    precision: Literal["fp32", "tf32", "fp16", "bf16"] = Field(
        "fp32",
        description="fp16 and bf16 convert the ONNX graph; fp32 clears the TF32 flag of TensorRT's builder, tf32 sets it",
    )
    keep_fp32: KeepFp32 = Field(KeepFp32(), description="nodes that stay in fp32 in a graph of fp16 or bf16")
    half_io: bool = Field(False, description="with fp16 or bf16: convert fp32 inputs and outputs to that type too")
    builder: Settings = Field(default_factory=Settings, description="settings of TensorRT's builder")
    profiles: list[dict[str, Span]] = Field(
        default_factory=list,
        max_length=16,
        description="optimization profiles of a plan: dynamic axis to its sizes; default: one profile that covers all sizes",
    )
    opset: int = Field(DEFAULT_OPSET, ge=9, le=23, description="ONNX opset of the exported file")
    simplify: bool = Field(True, description="run onnxslim on the exported file")
    strategies: list[Literal["legacy", "dynamo", "dynamo_decomposed", "converted", "converted_decomposed"]] | None = Field(
        None, min_length=1, description="exporters to try, in order; default: all that support the source, the fastest first"
    )
    training: Literal["error", "eval", "keep"] = Field(
        "eval",
        description="for a model loaded in training mode: eval switches to evaluation mode and reports it, error fails, "
        "keep leaves the mode",
    )
    reference: Literal["fast_path", "math"] | None = Field(
        None,
        description="reference if PyTorch's attention has two results: that of its fast path for inference, or of its Python code",
    )
    accept_branches: list[SourceLine] = Field(
        default_factory=list,
        description="source lines (net.py:8) with a branch on data; the export may fix the branch that all samples take",
    )
    max_batch_size: int = Field(
        0,
        ge=0,
        le=MAX_BATCH_SIZE,
        description="largest batch that Triton may form; the first axis of every tensor is then the batch. 0: no batching",
    )
    samples: Samples = Field(Samples(), description="the samples on which the model is verified")
    quality: Quality = Field(Quality(), description="gates besides the tolerance: noise floor, edge cases, NaN")
    triton: dict[str, Any] = Field(default_factory=dict, description="further fields of Triton's ModelConfig")
    variants: dict[VariantName, dict[str, Any]] = Field(
        default_factory=dict,
        description="named variants of the configuration, configs/<name>.pbtxt, for tritonserver --model-config-name: "
        "fields that replace those under triton",
    )
    warmup: Literal["samples"] | None = Field(
        None,
        description="samples: before the model is ready, Triton runs it on samples of every shape; their values lie beside the "
        "versions, unless evidence.samples says otherwise: then it runs zeros of these shapes",
    )
    warmup_files: list[Path] = Field(
        default_factory=list, description="files, or folders of files, that model_warmup names as input_data_file; they are copied"
    )
    template: Path | None = Field(None, description="replaces templates/config.pbtxt.j2")
    config: Path | None = Field(
        None, description="a config.pbtxt to publish as it is, such as the one in place; it is compared with the model"
    )
    deadline_s: float = Field(DEFAULT_DEADLINE, gt=0, description="seconds after which a worker of one stage is ended")
    memory_mib: int | None = Field(
        None, gt=0, description="MiB of resident memory at which a worker is ended; default: nine tenths of the machine's memory"
    )

    @property
    def state_dict(self) -> Weights | None:
        """The location of the state dict; `None` if the source contains its weights."""
        return Weights(file=self.weights) if isinstance(self.weights, Path) else self.weights

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit of a worker in bytes; `None` for the default."""
        return None if self.memory_mib is None else self.memory_mib << 20

    @property
    def largest_request(self) -> int:
        """The most samples of one request: with ragged inputs one, since Triton makes the batches of several requests."""
        return 1 if any(tensor.ragged for tensor in self.inputs.values()) else self.max_batch_size

    @property
    def batch_axis(self) -> str | None:
        """The name of the batch axis; `None` if the model is not batched."""
        first = next((tensor.shape[:1] for tensor in self.inputs.values()), [])
        return str(first[0]) if self.max_batch_size and first else None

    def axis(self, name: str) -> Axis:
        """Return the range of a dynamic axis; the default for the batch axis is 1 to `max_batch_size`."""
        if name in self.axes:
            return self.axes[name]
        return Axis(min=1, max=max(1, self.max_batch_size))

    def span(self, profile: dict[str, Span], name: str) -> tuple[int, int, int]:
        """Return the smallest, usual and largest size of a dynamic axis in a profile.

        Without an `opt`, the usual batch follows dynamic batching, see `usual_batch`.
        """
        axis, part = self.axis(name), profile.get(name, Span())
        low, high = axis.min if part.min is None else part.min, part.max or axis.max
        usual = self.usual_batch if name == self.batch_axis else axis.opt or axis.max
        return low, part.opt or min(max(usual, low), high), high

    def tolerance_of(self, output: str) -> Tolerance:
        """Return the tolerance of an output: its own, or the model's, or the default."""
        own = self.outputs.get(output, Output())
        return self.tolerance if self.tolerance and "tolerance" not in own.model_fields_set else own.tolerance

    @property
    def usual_batch(self) -> int:
        """The batch axis's `opt`, else the largest preferred batch size of dynamic batching, else `max_batch_size`."""
        batching = self.triton.get("dynamic_batching")
        preferred = batching.get("preferred_batch_size", ()) if isinstance(batching, dict) else ()
        own = self.axes[self.batch_axis].opt if self.batch_axis in self.axes else None
        return own or max((size for size in preferred if isinstance(size, int)), default=self.max_batch_size)

    @property
    def is_exported(self) -> bool:
        """Whether Triton serves an export of the source, rather than a Python step or an ensemble."""
        return self.python is None and self.ensemble is None

    @property
    def python_file(self) -> Path:
        """The file with the function of a Python step."""
        assert self.python is not None
        return Path(self.python.rpartition(":")[0])

    @property
    def python_files(self) -> tuple[Path, ...]:
        """All files of a Python step, the one with the function first; empty for other models."""
        return (self.python_file, *self.files) if self.python else ()

    @property
    def is_factory(self) -> bool:
        """Whether the source is `package.module:factory` instead of a file."""
        return is_factory(self.source)


class Spec(_Section):
    """A specification file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, title="tritonize specification")

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    repository: Annotated[Path, BeforeValidator(_not_an_address)] = Field(
        Path("model_repository"), description="folder of the model repository, relative to the spec"
    )
    target: Target = Field(Target(), description="the machine that serves the repository, if it is not this one")
    evidence: Evidence = Field(Evidence(), description="what a version keeps of its proof, and where")
    models: dict[ModelName, Model] = Field(min_length=1, description="the models, by name")

    def selected(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the named models, or all models if no name is given.

        Raises:
            UsageError: a name is not a model of the specification.
        """
        if unknown := [name for name in names if name not in self.models]:
            raise UsageError.of(
                specification.NO_MODEL,
                found=", ".join(unknown),
                expected=", ".join(self.models),
                meant=suggestions.meant(unknown[0], self.models),
            )
        return tuple(names) or tuple(self.models)


def is_factory(source: str) -> bool:
    """Return whether a source names a Python callable: dotted identifiers, a colon, dotted identifiers."""
    module, colon, attribute = source.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")])
