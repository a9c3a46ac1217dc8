"""Build the plan and write it to its file, in pieces if the module supports that, and hash it meanwhile.

Runs inside a worker, without torch; the same code serves `tensorrt` and `tensorrt_rtx`.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from tritonize.core.errors import PlanError
from tritonize.core.messages import plans as wording
from tritonize.plans.tasks import PlanBuildRequest
from tritonize.plans.worker import trt_network

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import Builder, BuilderConfig, BuildLog, Network, TensorRT


class WrittenPlan(NamedTuple):
    """SHA-256 and size in bytes of a plan."""

    sha256: str
    size: int


def write(
    trt: TensorRT, builder: Builder, network: Network, *, config: BuilderConfig, logger: BuildLog, request: PlanBuildRequest
) -> WrittenPlan:
    """Build the plan and write it to its file. After an error, the file is deleted.

    Raises:
        PlanError: the builder returned no plan; the error contains the builder's messages, those that name ONNX nodes first.
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
        reasons = trt_network.with_nodes(logger.errors[before:], request) or ["the builder logs no reason"]
        raise PlanError.of(
            wording.NOTHING_BUILT,
            where=request.onnx.name,
            found=reasons[0],
            details=trt_network.shortened(reasons[1:]),
            module=request.module,
        )
    return WrittenPlan(written.digest.hexdigest(), written.size)  # leaving the block waited for the hash


class _Written:
    """A file that a second thread hashes while it is written. The hash is at most one piece behind, so few pieces are in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = ThreadPoolExecutor(1)
        self._hashed: Future[None] | None = None
        self.digest = hashlib.sha256()
        self.size = 0
        self.problem: OSError | None = None
        """The error of a failed write. TensorRT calls `write` and cannot pass an exception on, so `write` stores it here."""

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
