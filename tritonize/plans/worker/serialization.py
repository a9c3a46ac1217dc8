"""Build the optimal plan and serialize it into its file, piece by piece where the module can, hashed while it is written.

Runs inside a worker, without torch; one core for `tensorrt` and `tensorrt_rtx`, as `workers.plan`.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from tritonize.core.errors import PlanError
from tritonize.plans.tasks import PlanBuildRequest
from tritonize.plans.worker import trt_network

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import Builder, BuilderConfig, BuildLog, Network, TensorRT


class WrittenPlan(NamedTuple):
    """The SHA-256 of a plan, and its size in bytes."""

    sha256: str
    size: int


def write(
    trt: TensorRT, builder: Builder, network: Network, *, config: BuilderConfig, logger: BuildLog, request: PlanBuildRequest
) -> WrittenPlan:
    """Build the plan into its file; its SHA-256 and its size in bytes.

    Raises:
        PlanError: the builder built none; it says what the builder said, by nodes of the ONNX file.
        OSError: the plan cannot be written.
    """
    before = len(logger.errors)
    path = request.plan
    with path.open("wb") as file, _Written(file) as written:
        if hasattr(builder, "build_serialized_network_to_stream"):
            built = builder.build_serialized_network_to_stream(network, config, _stream(trt, written))
        else:
            plan = builder.build_serialized_network(network, config)
            built = plan is not None
            if plan is not None:
                written.write(memoryview(plan))
    if written.problem is not None:
        path.unlink(missing_ok=True)
        raise written.problem
    if not built or not written.size:
        path.unlink(missing_ok=True)
        said = trt_network.named(logger.errors[before:], request) or ["the builder gives no reason"]
        raise PlanError(
            f"{request.module} built no plan.",
            where=request.onnx.name,
            found=said[0],
            details=trt_network.shortened(said[1:]),
            next_step="look at the whole log beside the plan",
        )
    return WrittenPlan(written.digest.hexdigest(), written.size)  # the hash is whole: leaving the block waits for it


class _Written:
    """A file that is hashed while it is written: in a thread beside it, at most one piece behind, so that few are in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = ThreadPoolExecutor(1)
        self._hashed: Future[None] | None = None
        self.digest = hashlib.sha256()
        self.size = 0
        self.problem: OSError | None = None
        """Why a piece was not written: the builder, which calls, hears of no exception."""

    def write(self, piece: bytes | memoryview) -> int:
        if self._hashed:
            self._hashed.result()
        self._hashed = self._hasher.submit(self.digest.update, piece)
        try:
            self._file.write(piece)
        except OSError as error:
            self.problem = error
            return 0
        self.size += len(piece)
        return len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._hasher.shutdown()
        if self._hashed and kind is None:
            self._hashed.result()


def _stream(trt: TensorRT, written: _Written) -> object:
    class Stream(trt.IStreamWriter):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()

        def write(self, piece: bytes) -> int:
            return written.write(piece)

    return Stream()
