"""What the modules of a PyTorch model take and answer on samples, kept in files; inside a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.utils._pytree as pytree  # the one that knows the classes that libraries register

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array
from tritonize.core.errors import ExportError
from tritonize.locate.tasks import Captured, CaptureRequest, Seen
from tritonize.source.worker.torch_model import LoadedModel, load, to_numpy

_KNOWN = {dtype.name for dtype in dtypes.TABLE}


def capture(asked: CaptureRequest) -> Captured:
    """Run the model, and keep what each of its modules took and answered.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run.
    """
    model = load(asked.model)
    asked.directory.mkdir(parents=True, exist_ok=True)
    runs = [_watched(model, asked, number, indices=indices) for number, indices in enumerate(asked.batches)]
    return Captured(seen=tuple(_joined(runs)))


def _watched(model: LoadedModel, asked: CaptureRequest, number: int, *, indices: tuple[int, ...]) -> list[Seen]:
    folder = asked.directory / str(number)
    folder.mkdir()
    watcher = _Watcher(folder)
    hooks = watcher.attach(model.module)
    try:
        model.answer(arrays.stack(asked.samples.files, indices))
    finally:
        for remove in hooks:
            remove()
    return watcher.seen


def _joined(runs: Sequence[Sequence[Seen]]) -> Iterator[Seen]:
    """The same tensors of all batches together.

    Raises:
        ExportError: a module is called another number of times with another batch.
    """
    if len({tuple(each.key for each in run) for run in runs}) > 1:
        raise ExportError(
            "The model calls other modules for another sample, so its modules cannot be compared over several.",
            next_step="look at one sample alone",
        )
    for same in zip(*runs, strict=True):
        shapes = tuple(shape for each in same for shape in each.shapes)
        yield replace(same[0], shapes=shapes, files=tuple(file for each in same for file in each.files))


class _Watcher:
    """Hooks of all modules, and what they saw. A tensor is written at once, since a later one may overwrite it in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: dict[str, int] = {}
        self._last: tuple[torch.Tensor, int, Path] | None = None
        self._written = 0
        self.seen: list[Seen] = []

    def attach(self, root: torch.nn.Module) -> list[Callable[[], None]]:
        """Watch a model; the functions returned end that."""
        removes: list[Callable[[], None]] = []
        for path, module in root.named_modules():
            if isinstance(module, torch.jit.ScriptModule) and path:  # its hooks are not called from inside TorchScript
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
        def hook(_module: torch.nn.Module, _arguments: object, answer: object) -> None:
            self._keep(path, "output", answer, weighted=weighted)
            self._calls[path] = self._calls.get(path, 0) + 1

        return hook

    def _keep(self, path: str, place: Literal["input", "output"], value: object, *, weighted: bool) -> None:
        tensors = [each for each in pytree.tree_leaves(value) if isinstance(each, torch.Tensor)]
        for position, tensor in enumerate(tensors):
            try:
                array = to_numpy(tensor)
            except ExportError:  # sparse, quantized, float8: no graph has those
                continue
            dtype = arrays.dtype_name(array)
            if dtype not in _KNOWN:
                continue
            self.seen.append(
                Seen(
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
        """The file of a tensor; the same one where the last module answered the very same."""
        if self._last and self._last[0] is tensor and self._last[1] == tensor._version:
            return self._last[2]
        path = self._folder / f"{self._written}.npy"
        self._written += 1
        np.save(path, array.view(np.uint16) if array.dtype == arrays.BFLOAT16 else array, allow_pickle=False)
        self._last = (tensor, tensor._version, path)
        return path
