"""A client over gRPC with the tensors in system shared memory."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Mapping, Sequence

import numpy as np

from tritonize.core.arrays import Array, Arrays
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, TritonizeError
from tritonize.core.messages import client as messages
from tritonize.core.stages import Transport
from tritonize.triton.client import refusals
from tritonize.triton.client.base import SequenceStep
from tritonize.triton.client.grpc import GrpcClient
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.client.shm_region import Region, layout, poison, read_output, remove_stale
from tritonize.triton.client.tensors import element_type, invalid_response, raw_bytes, sendable
from tritonize.triton.protocol import ModelMetadata

_RELEASE_S = 5.0
"""Seconds that a server may keep a region in use after its response."""


class SharedMemoryClient(GrpcClient):
    """Reuses its regions between requests and removes them in `close`. Arrays that it returned stay valid after that."""

    transport: Transport = "shm"

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        response_limit: int,
        shm_prefix: str,
        headers: Mapping[str, str] | None = None,
        options: ConnectionOptions = ConnectionOptions(),  # noqa: B008 - frozen
    ) -> None:
        remove_stale()
        super().__init__(url, timeout_s=timeout_s, response_limit=response_limit, headers=headers, options=options)
        self._shm_prefix = shm_prefix
        self._registered: dict[str, Region] = {}
        self._free: dict[str, list[Region]] = {"inputs": [], "outputs": []}
        self._output_sizes: dict[tuple[object, ...], dict[str, int]] = {}
        self._descriptions: dict[tuple[str, str], tuple[ModelMetadata, int]] = {}

    def close(self) -> None:
        """Remove the shared memory and close the channel."""
        try:
            self._drop_all()
        finally:
            super().close()

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        output_nbytes: Mapping[str, int] | None = None,
        step: SequenceStep | None = None,
    ) -> Arrays:
        """Send one inference request; see `Client.infer`."""
        inputs = {name: sendable(name, array) for name, array in inputs.items()}
        every = self._description(model, version)[0]["outputs"] if outputs is None else []
        names = [entry["name"] for entry in every] if outputs is None else list(outputs)
        key = (model, version, tuple((name, array.shape) for name, array in sorted(inputs.items())))
        sizes = self._sizes(
            model, version, names, inputs=inputs, known={**self._output_sizes.get(key, {}), **(output_nbytes or {})}
        )
        try:
            arrays = self._through_regions(model, inputs, version, sizes=sizes, step=step)
        except InferenceError as error:
            if step is not None or refusals.kind(error) is not Refusal.OUTPUT_TOO_SMALL:
                raise
            sizes = self._measure_output_sizes(model, version, names, inputs=inputs)  # an output of varying size has grown
            arrays = self._through_regions(model, inputs, version, sizes=sizes)
        self._output_sizes[key] = sizes
        return arrays

    def shares_memory(self) -> bool:
        """Whether the server can open regions of this client: it runs on this machine and sees the same /dev/shm."""
        try:
            self._free["inputs"].append(self._acquire("inputs", 64))
        except (InferenceError, ServerError) as error:
            self._drop_all()
            if isinstance(error, InferenceError) or error.code == messages.NO_TRITON.code:  # the server lacks that call
                return False
            raise
        return True

    def _through_regions(
        self, model: str, inputs: Arrays, version: str, *, sizes: dict[str, int], step: SequenceStep | None = None
    ) -> Arrays:
        """Write the inputs into one region and read the outputs from another; the next request reuses both."""
        try:
            return self._exchange(model, inputs, version, sizes=sizes, step=step)
        except BaseException:
            self._drop_all()  # a server that writes late must not overwrite the outputs of the next request
            raise

    def _exchange(self, model: str, inputs: Arrays, version: str, *, sizes: dict[str, int], step: SequenceStep | None) -> Arrays:
        raw = {name: raw_bytes(array) for name, array in inputs.items()}
        offsets, end = layout({name: array.nbytes for name, array in raw.items()})
        source = self._acquire("inputs", end)
        tensors = []
        for name, array in inputs.items():
            tensor = self._input(name, array)
            if raw[name].nbytes:
                np.ndarray(raw[name].shape, raw[name].dtype, source.buffer, offsets[name])[...] = raw[name]
                tensor.set_shared_memory(source.registered, raw[name].nbytes, offsets[name])
            else:
                tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        offsets, end = layout(sizes)
        target = self._acquire("outputs", end)
        whole = target.array()
        parts = {name: whole[offsets[name] : offsets[name] + size] for name, size in sizes.items()}
        requested = []
        for name, part in parts.items():
            requested.append(self._module.InferRequestedOutput(name))
            if part.size:
                poison(part)
                requested[-1].set_shared_memory(target.registered, part.size, offsets[name])
        response = self._infer(model, version, tensors, outputs=requested, step=step)
        self._free["inputs"].append(source)
        # The returned arrays are views of the region: it is reused after the last of them is freed.
        weakref.finalize(whole, self._release, target).atexit = False
        indices = {entry.name: index for index, entry in enumerate(response.outputs)}
        if missing := [name for name in parts if name not in indices]:
            raise invalid_response(self.where, f"no output {missing[0]!r}")
        return {
            name: read_output(response.outputs[indices[name]], part, self.where)
            if part.size
            else self._inline_output(response, indices[name])
            for name, part in parts.items()
        }

    def _sizes(self, model: str, version: str, names: Sequence[str], *, inputs: Arrays, known: Mapping[str, int]) -> dict[str, int]:
        """Size of each output in bytes: as known, else from the model's metadata, else measured."""
        metadata, max_batch_size = self._description(model, version)
        rows = next((array.shape[0] for array in inputs.values() if array.ndim), 1) if max_batch_size else 1
        sizes = {}
        for entry in metadata["outputs"]:
            shape = [int(size) for size in entry.get("shape", [])]
            fixed = shape[1:] if max_batch_size else shape
            itemsize = element_type(entry["name"], entry.get("datatype"), self.where).itemsize
            if entry["name"] in known:
                sizes[entry["name"]] = known[entry["name"]]
            elif itemsize and all(size >= 0 for size in fixed):
                sizes[entry["name"]] = itemsize * rows * int(np.prod(fixed, dtype=np.int64))
        if all(name in sizes for name in names):
            return {name: sizes[name] for name in names}
        return self._measure_output_sizes(model, version, names, inputs=inputs)

    def _measure_output_sizes(self, model: str, version: str, names: Sequence[str], *, inputs: Arrays) -> dict[str, int]:
        """Size of each output in bytes, from a request with inline tensors."""
        arrays = self._plain(inputs, model, version, outputs=dict.fromkeys(names, 0))
        return {name: raw_bytes(array).nbytes for name, array in arrays.items()}

    def _description(self, model: str, version: str) -> tuple[ModelMetadata, int]:
        """Metadata and maximum batch size of a model, requested once."""
        if (model, version) not in self._descriptions:
            config = self.model_config(model, version)
            self._descriptions[model, version] = self.model_metadata(model, version), int(config.get("max_batch_size", 0))
        return self._descriptions[model, version]

    def _acquire(self, use: str, size: int) -> Region:
        """A free region for inputs or outputs that is large enough, created if there is none."""
        while self._free[use]:
            region = self._free[use].pop()
            if region.size >= size:
                return region
            self._drop(region)
        region = Region(self._shm_prefix, size)
        self._registered[region.name] = region
        self._call(self._client.register_system_shared_memory, region.registered, region.key, size)
        region.unlink()
        return region

    def _release(self, region: Region) -> None:
        if region.name in self._registered:
            self._free["outputs"].append(region)

    def _drop_all(self) -> None:
        for use in self._free:
            self._free[use].clear()
        for region in list(self._registered.values()):
            self._drop(region)

    def _drop(self, region: Region) -> None:
        del self._registered[region.name]
        try:
            with contextlib.suppress(TritonizeError):  # a server that has stopped has dropped its regions
                self._unregister(region)
        finally:
            region.close()

    def _unregister(self, region: Region) -> None:
        """Unregister a region; retried, because Triton keeps a region in use for a moment after its response and refuses."""
        until = time.monotonic() + _RELEASE_S
        while True:
            try:
                self._call(self._client.unregister_system_shared_memory, region.registered)
            except InferenceError as error:
                if refusals.kind(error) is not Refusal.REGION_IN_USE or time.monotonic() > until:
                    raise
                time.sleep(0.002)
            else:
                return
