"""The table of all stages: their names in JSON, in a report and on a terminal, and their order from PyTorch to the client.

A stage is a step that a command times, a point at which outputs are compared, or both. JSON refers to a stage by its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NewType

Transport = Literal["http", "grpc", "shm"]
"""How a client sends requests to the server."""
Precision = Literal["fp64", "fp16", "bf16"]

_UNORDERED = 13
"""Order of the stages at which no outputs are compared: after all others."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    key: str
    heading: str = ""
    action: str = ""
    order: int = _UNORDERED
    transport: Transport | Literal["any"] | None = None
    precision: Precision | None = None
    emulated: bool = False
    pictured: bool = False


class StageName(StrEnum):
    """A row of the table. Its value, and so its text, is the key."""

    heading: str
    """Name of its outputs or its result in a report."""
    action: str
    """Text on the terminal while it runs."""
    order: int
    """Position between PyTorch (0) and the client; stages in another precision have the position of the stage without one."""
    transport: Transport | Literal["any"] | None
    """Transport of the responses; `any` if the stage uses gRPC when the server has a gRPC address. `None` without a server."""
    precision: Precision | None
    """Precision of the outputs, if it differs from the model's."""
    emulated: bool
    """Whether the precision is emulated: float32 arithmetic, with every node's result rounded to the precision."""
    pictured: bool
    """Whether the report's figures can use its outputs. They use the stage nearest to the client that has outputs."""

    def __new__(cls, row: _Row) -> StageName:
        """The member of a row; the key replaces a missing heading or action."""
        member = str.__new__(cls, row.key)
        member._value_ = row.key
        member.heading, member.action = row.heading or row.key, row.action or row.key
        member.order, member.transport = row.order, row.transport
        member.precision, member.emulated, member.pictured = row.precision, row.emulated, row.pictured
        return member

    # Files.
    FILES = _Row(key="files", action="Check the files")
    GOLDEN_FILE = _Row(key="golden file", action="Read the golden file")
    GRAPH = _Row(key="graph", action="Compare the graphs")
    NUMERICS = _Row(key="numerics", action="Compare outputs")
    LATENCY = _Row(key="latency", action="Measure latency")
    BASELINE = _Row(key="baseline", heading="Baseline", action="Compare with baseline")
    SERVED = _Row(key="served", transport="any")
    """Responses of one of two versions on the same server."""

    # The reference and the ONNX file.
    SAMPLES = _Row(key="samples", action="Draw samples")
    PYTORCH = _Row(key="pytorch", heading="PyTorch batched", action="Run PyTorch", order=0)
    PYTORCH_FP64 = _Row(key="pytorch fp64", action="PyTorch in float64", order=0, precision="fp64")
    PYTORCH_FP16 = _Row(key="pytorch fp16", action="Run PyTorch in fp16", order=0, precision="fp16")
    PYTORCH_BF16 = _Row(key="pytorch bf16", action="Run PyTorch in bf16", order=0, precision="bf16")
    AS_LOADED = _Row(key="as loaded")
    """PyTorch with the model in the mode it was loaded in. It is compared with the reference, `PYTORCH`, by gates."""
    SOURCE = _Row(key="source", heading="Source batched", action="Run the source")
    STEP = _Row(key="step", heading="Function batched", action="Call the function", order=0)
    """The function of a Python step, in a process without a server."""
    CHECK = _Row(key="check", heading="B against A")
    EXPORT = _Row(key="export", action="Export to ONNX")
    COPY = _Row(key="copy", action="Copy the ONNX file")
    """In place of an export, for a source that is an ONNX file."""
    ONNXRUNTIME = _Row(key="onnxruntime", heading="ONNX Runtime", action="Compare ONNX Runtime", order=1, pictured=True)
    ROUNDING = _Row(key="rounding", heading="Rounding of the edge cases", action="Measure rounding")
    SUMS = _Row(key="sums", heading="Error of ONNX Runtime's own sums", action="Measure sums")
    PRECISION = _Row(key="precision", heading="Reduced precision", action="Reduce the precision")
    ONNXRUNTIME_FP16 = _Row(
        key="onnxruntime fp16", heading="ONNX Runtime, fp16", action="Compare fp16", order=1, pictured=True, precision="fp16"
    )
    EMULATED_FP16 = _Row(
        key="onnxruntime fp16 (emulated)",
        heading="fp16, emulated",
        action="Emulate fp16",
        order=1,
        pictured=True,
        precision="fp16",
        emulated=True,
    )
    EMULATED_BF16 = _Row(
        key="onnxruntime bf16 (emulated)",
        heading="bf16, emulated",
        action="Emulate bf16",
        order=1,
        pictured=True,
        precision="bf16",
        emulated=True,
    )
    LOCATE = _Row(key="locate")
    MODULES = _Row(key="modules", action="Record the modules")
    NODES = _Row(key="nodes", action="Compare the nodes")
    KEEP_FP32 = _Row(key="keep in fp32", action="Keep nodes in fp32")

    # Plans.
    PLAN = _Row(key="plan", heading="TensorRT plan", action="Build the plan", order=2, pictured=True)
    PLAN_RUN = _Row(key="plan run", heading="The plan on a GPU", action="Run the plan", order=2)
    TARGET = _Row(key="target", heading="Loading at the target")
    SET_ASIDE = _Row(key="set aside", heading="Whole configuration", action="Load at the target")

    # The server. The first three are listed if the server does not return them.
    METADATA = _Row(key="metadata", heading="The server's metadata of the model")
    MODEL_CONFIG = _Row(key="model config", heading="The server's configuration of the model")
    STATISTICS = _Row(key="statistics", heading="The server's statistics")
    STAGE = _Row(key="stage", action="Stage the version")
    SERVER_START = _Row(key="server start", action="Start Triton")
    TARGET_LOAD = _Row(key="load on the server", action="Load on the server")
    TARGET_UNLOAD = _Row(key="unload from the server", action="Unload from the server")
    HTTP = _Row(key="http", heading="Triton, HTTP", action="Verify over HTTP", order=3, transport="http", pictured=True)
    GRPC = _Row(key="grpc", heading="Triton, gRPC", action="Verify over gRPC", order=4, transport="grpc", pictured=True)
    SHM = _Row(key="shm", heading="Triton, shared memory", action="Verify shared memory", order=5, transport="shm", pictured=True)
    STREAM = _Row(key="stream", heading="Triton, gRPC stream", action="Verify a gRPC stream", order=6, transport="grpc")
    """For a stateful model: all sequences at once over one stream, without waiting for responses."""
    INVARIANCES = _Row(key="invariances", action="Verify invariances", transport="any")
    """`AGAIN`, `ORDER` and `PADDED` together."""
    AGAIN = _Row(key="again", heading="Triton, repeated", order=7, transport="any")
    ORDER = _Row(key="order", heading="Triton, other order", order=8, transport="any")
    PADDED = _Row(key="padded", heading="Triton, padded batch", order=9, transport="any")
    CONCURRENT = _Row(key="concurrent", heading="Triton, concurrent", action="Verify concurrently", order=10, transport="any")
    NEW_SAMPLES = _Row(key="new samples", heading="Triton, new samples", action="Verify new samples", order=11, transport="any")
    """Samples that were never sent before, which no cache can have a response to."""
    CLASSIFICATION = _Row(
        key="classification", heading="Triton, top classes", action="Verify the labels", order=12, transport="any"
    )
    """The largest elements of the outputs that have labels, as the classification extension returns them."""
    SERVER_STOP = _Row(key="server stop", action="Stop Triton")
    SERVER = _Row(key="server", action="Start Triton")
    PUBLISH = _Row(key="publish", action="Publish")

    @property
    def key(self) -> str:
        """The stage's name in JSON."""
        return self.value

    def at(self, precision: Precision, *, emulated: bool = False) -> StageName:
        """The same stage in another precision.

        Raises:
            ValueError: the table has no such stage.
        """
        wanted = (self.order, precision, emulated)
        for each in StageName:
            if (each.order, each.precision, each.emulated) == wanted:
                return each
        raise ValueError(f"{self.key} has no stage in {precision}")


def over(transport: Transport) -> StageName:
    """The stage that sends every sample over a transport."""
    return {"http": StageName.HTTP, "grpc": StageName.GRPC, "shm": StageName.SHM}[transport]


ModelFile = NewType("ModelFile", str)
"""The name of a model file. `tritonize check` uses it as the name of the stage that runs this model."""

Label = StageName | ModelFile
"""The name of a timed stage."""

TRANSPORTS: tuple[Transport, ...] = ("http", "grpc", "shm")
SERVED = tuple(each for each in StageName if each.transport)
"""The stages that compare a server's responses."""
SAME_BITS = (StageName.HTTP, StageName.GRPC, StageName.SHM, StageName.AGAIN)
"""The stages at which identical requests must have bitwise identical responses."""
TIMED = (StageName.HTTP, StageName.GRPC, StageName.SHM, StageName.CONCURRENT)
"""The stages whose latency the report contains."""


def heading(label: Label) -> str:
    """The name of a stage in a report."""
    return label.heading if isinstance(label, StageName) else label


def action(label: Label) -> str:
    """The name of a stage on the terminal."""
    return label.action if isinstance(label, StageName) else label
