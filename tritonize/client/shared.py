"""A client over gRPC whose tensors lie in system shared memory."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tritonize import dtypes
from tritonize.arrays import Array, Arrays
from tritonize.client.plain import Client, sendable
from tritonize.client.region import Region, copy_out, layout, raw_bytes
from tritonize.errors import InferenceError, TritonizeError


class SharedMemoryClient(Client):
    """Keeps one region for inputs and one for outputs between requests, and removes them when it is closed."""

    def __init__(self, url: str, *, timeout_s: float, shm_prefix: str) -> None:
        super().__init__(url, "shm", timeout_s=timeout_s)
        self._shm_prefix = shm_prefix
        self._regions: dict[str, Region] = {}
        self._output_sizes: dict[Any, dict[str, int]] = {}
        self._descriptions: dict[tuple[str, str], tuple[dict[str, Any], int]] = {}

    def close(self) -> None:
        """Remove the shared memory and hang up."""
        try:
            self._drop_regions()
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
    ) -> Arrays:
        """One request; see `Client.infer`."""
        inputs = {name: sendable(name, array) for name, array in inputs.items()}
        names = list(outputs) if outputs is not None else [entry["name"] for entry in self._known(model, version)[0]["outputs"]]
        key = (model, version, tuple((name, array.shape) for name, array in sorted(inputs.items())))
        sizes = self._sizes(model, version, names, inputs, {**self._output_sizes.get(key, {}), **(output_nbytes or {})})
        try:
            answer = self._through_regions(model, inputs, version, sizes)
        except InferenceError as error:
            if "at least" not in (error.found or ""):
                raise
            sizes = self._learned(model, version, names, inputs)  # an output of varying size has grown
            answer = self._through_regions(model, inputs, version, sizes)
        self._output_sizes[key] = sizes
        return answer

    def shares_memory(self) -> bool:
        """Whether the server can open what this client makes in /dev/shm: it runs on this machine, and not apart from it."""
        try:
            self._region("outputs", 64)
        except InferenceError:
            self._drop_regions()
            return False
        return True

    def _through_regions(self, model: str, inputs: Arrays, version: str, sizes: dict[str, int]) -> Arrays:
        """Inputs into one region, outputs out of another; both are kept for the next request."""
        try:
            return self._exchange(model, inputs, version, sizes)
        except BaseException:
            self._drop_regions()  # a late answer of the server must not get into the next one
            raise

    def _exchange(self, model: str, inputs: Arrays, version: str, sizes: dict[str, int]) -> Arrays:
        raw = {name: raw_bytes(array) for name, array in inputs.items()}
        offsets, end = layout({name: array.nbytes for name, array in raw.items()})
        region = self._region("inputs", end)
        tensors = []
        for name, array in inputs.items():
            tensor = self._input(name, array)
            if raw[name].nbytes:
                np.ndarray(raw[name].shape, raw[name].dtype, region.buffer, offsets[name])[...] = raw[name]
                tensor.set_shared_memory(region.name, raw[name].nbytes, offsets[name])
            else:
                tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        places, end = layout(sizes)
        target = self._region("outputs", end)
        np.frombuffer(target.buffer, np.uint8)[:end] = 0xFF  # an output that is not written must not look like the previous one
        wanted = []
        for name, size in sizes.items():
            wanted.append(self._module.InferRequestedOutput(name))
            if size:
                wanted[-1].set_shared_memory(target.name, size, places[name])
        result = self._call(self._client.infer, model, tensors, model_version=version, outputs=wanted, model=model)
        return {
            name: copy_out(result.get_output(name), target, places[name]) if size else self._taken(result, name)
            for name, size in sizes.items()
        }

    def _sizes(self, model: str, version: str, names: Sequence[str], inputs: Arrays, known: Mapping[str, int]) -> dict[str, int]:
        """Bytes of each output: as known, else from the model's description, else from a plain request."""
        metadata, max_batch_size = self._known(model, version)
        rows = next((array.shape[0] for array in inputs.values() if array.ndim), 1) if max_batch_size else 1
        sizes = {}
        for entry in metadata["outputs"]:
            shape = [int(size) for size in entry.get("shape", [])]
            fixed = shape[1:] if max_batch_size else shape
            itemsize = dtypes.by_client(entry["datatype"]).itemsize
            if entry["name"] in known:
                sizes[entry["name"]] = known[entry["name"]]
            elif itemsize and all(size >= 0 for size in fixed):
                sizes[entry["name"]] = itemsize * rows * int(np.prod(fixed, dtype=np.int64))
        if all(name in sizes for name in names):
            return {name: sizes[name] for name in names}
        return self._learned(model, version, names, inputs)

    def _learned(self, model: str, version: str, names: Sequence[str], inputs: Arrays) -> dict[str, int]:
        answer = self._plain(inputs, model, version, names)
        return {name: raw_bytes(array).nbytes for name, array in answer.items()}

    def _known(self, model: str, version: str) -> tuple[dict[str, Any], int]:
        """Metadata and maximum batch size of a model, asked for once."""
        if (model, version) not in self._descriptions:
            config = self.model_config(model, version)
            self._descriptions[model, version] = self.model_metadata(model, version), int(config.get("max_batch_size", 0))
        return self._descriptions[model, version]

    def _region(self, use: str, size: int) -> Region:
        """The region for inputs or outputs, made anew where it is too small."""
        region = self._regions.get(use)
        if region is None or region.size < size:
            if region is not None:
                self._drop_region(use)
            region = self._regions[use] = Region(self._shm_prefix, size)
            self._call(self._client.register_system_shared_memory, region.name, region.key, size)
        return region

    def _drop_regions(self) -> None:
        for use in list(self._regions):
            self._drop_region(use)

    def _drop_region(self, use: str) -> None:
        region = self._regions.pop(use)
        try:
            with contextlib.suppress(TritonizeError):  # a server that has gone knows no regions any more
                self._call(self._client.unregister_system_shared_memory, region.name)
        finally:
            region.close()
