"""Capture the inputs and outputs of a PyTorch model's modules on samples, in files; inside a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.utils._pytree as pytree  # the one that knows the classes that libraries register

from tritonize.core import arrays, dtypes, progress
from tritonize.core.arrays import Array
from tritonize.core.errors import ExportError
from tritonize.core.messages import locate as messages
from tritonize.locate.tasks import Captured, CaptureRequest, ModuleTensor
from tritonize.source.worker.torch_model import LoadedModel, load, to_numpy

_KNOWN = {dtype.name for dtype in dtypes.TABLE}


def capture(request: CaptureRequest) -> Captured:
    """Run the model and capture the inputs and outputs of each of its modules.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run.
    """
    model = load(request.model)
    request.directory.mkdir(parents=True, exist_ok=True)
    runs = [
        _recorded(model, request, number, indices=indices)
        for number, indices in enumerate(progress.counted(request.batches, "batch"))
    ]
    return Captured(tensors=tuple(_joined(runs)))


def _recorded(model: LoadedModel, request: CaptureRequest, number: int, *, indices: tuple[int, ...]) -> list[ModuleTensor]:
    folder = request.directory / str(number)
    folder.mkdir()
    watcher = _Watcher(folder)
    hooks = watcher.attach(model.module)
    try:
        model.run(arrays.stack(request.samples.files, indices))
    finally:
        for remove in hooks:
            remove()
    return watcher.tensors


def _joined(runs: Sequence[Sequence[ModuleTensor]]) -> Iterator[ModuleTensor]:
    """Merge the captured tensors of all batches.

    Raises:
        ExportError: a module is called a different number of times for another batch.
    """
    if len({tuple(each.key for each in run) for run in runs}) > 1:
        raise ExportError.of(messages.OTHER_CALLS)
    for same in zip(*runs, strict=True):
        shapes = tuple(shape for each in same for shape in each.shapes)
        yield replace(same[0], shapes=shapes, files=tuple(file for each in same for file in each.files))


class _Watcher:
    """Hooks on all modules. A tensor is written immediately, because a later operation may overwrite it in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: dict[str, int] = {}
        self._last: tuple[torch.Tensor, int, Path] | None = None
        self._written = 0
        self.tensors: list[ModuleTensor] = []

    def attach(self, root: torch.nn.Module) -> list[Callable[[], None]]:
        """Attach hooks to a model; the returned functions remove them."""
        removes: list[Callable[[], None]] = []
        for path, module in root.named_modules():
            if isinstance(module, torch.jit.ScriptModule) and path:  # TorchScript does not call its hooks
                continue
            weighted = any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
            if not any(True for _ in module.children()):
                removes.append(module.register_forward_pre_hook(self._before(path, weighted), with_kwargs=True).remove)
            removes.append(module.register_forward_hook(self._after(path, weighted)).remove)
        return removes

    def _before(self, path: str, weighted: bool) -> Callable[[torch.nn.Module, object, object], None]:
        def hook(_module: torch.nn.Module, arguments: object, named: object) -> None:
            self._keep(path, "input", (arguments, named), weighted=weighted)

        return hook

    def _after(self, path: str, weighted: bool) -> Callable[[torch.nn.Module, object, object], None]:
        def hook(_module: torch.nn.Module, _arguments: object, output: object) -> None:
            self._keep(path, "output", output, weighted=weighted)
            self._calls[path] = self._calls.get(path, 0) + 1

        return hook

    def _keep(self, path: str, place: Literal["input", "output"], value: object, *, weighted: bool) -> None:
        tensors = [each for each in pytree.tree_leaves(value) if isinstance(each, torch.Tensor)]
        for position, tensor in enumerate(tensors):
            try:
                array = to_numpy(tensor)
            except ExportError:  # sparse, quantized or float8: an ONNX graph has no such tensors
                continue
            dtype = arrays.dtype_name(array)
            if dtype not in _KNOWN:
                continue
            self.tensors.append(
                ModuleTensor(
                    module=path,
                    call=self._calls.get(path, 0),
                    place=place,
                    position=position,
                    dtype=dtype,
                    shapes=(tuple(tensor.shape),),
                    files=(self._file(tensor, array),),
                    weighted=weighted,
                )
            )

    def _file(self, tensor: torch.Tensor, array: Array) -> Path:
        """The file of a tensor; reused if the previous module returned the same unmodified tensor."""
        if self._last and self._last[0] is tensor and self._last[1] == tensor._version:
            return self._last[2]
        path = self._folder / f"{self._written}.npy"
        self._written += 1
        np.save(path, array.view(np.uint16) if array.dtype == arrays.BFLOAT16 else array, allow_pickle=False)
        self._last = (tensor, tensor._version, path)
        return path
