"""Models that decide by the values of their input; most exporters freeze one side."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import logging
import math
import pickle
import pprint
import struct
import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.compiler as compiler
from torch import Tensor, equal, nn
from torch.compiler import is_compiling
from torch.jit import is_tracing as tracing
from torch.onnx import is_in_onnx_export as in_export
from torch.utils.dlpack import to_dlpack


class Pixels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 100:  # line: pixels
            x = x / 255
        return x * 2


class PixelsByNumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        largest = float(x.max())
        scale = 255 if largest > 100 else 1  # line: number
        return x / scale


class PixelsByHelper(nn.Module):
    def is_large(self, x: Tensor) -> bool:
        return x.max().item() > 100

    def forward(self, x: Tensor) -> Tensor:
        if self.is_large(x):  # line: helper
            x = x / 255
        return x * 2


class PixelsElsewhere(nn.Module):
    def scaled(self, x: Tensor, largest: float) -> Tensor:
        return x / 255 if largest > 100 else x

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, x.max().item())  # line: elsewhere


class HalvesUntilSmall(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.abs().sum() > 50:  # line: loop
            x = x / 2
        return x


class AlwaysTwice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rounds = int((x * 0).sum()) + 2  # line: rounds
        for _ in range(rounds):
            x = x * 2
        return x


class Array(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pixels = x.numpy()
        if np.percentile(pixels, 99) > 100:  # line: array
            x = x / 255
        return x * 2


class DataOnly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.data.max() > 100:  # line: data only
            x = x / 255
        return x.data * 2


class Shared(nn.Module):
    """The array leaves without a method of the tensor that makes NumPy's."""

    def forward(self, x: Tensor) -> Tensor:
        pixels = np.from_dlpack(x)
        if pixels.max() > 100:  # line: shared
            x = x / 255
        return x * 2


class Printed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if "200" in str(x):  # line: printed
            x = x / 255
        return x * 2


class Formatted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if f"{x.max()} of {x}".startswith("200"):  # line: formatted
            x = x / 255
        return x * 2


class Percent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if ("%s" % (x,)).count("200"):  # noqa: UP031  # line: percent
            x = x / 255
        return x * 2


class PrintedElsewhere(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.known = {"tensor(200.)": 255}

    def forward(self, x: Tensor) -> Tensor:
        return x / self.known.get(repr(x.max()), 1)  # line: printed elsewhere


class StorageList(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if max(x.storage().tolist()) > 100:  # line: storage list
            x = x / 255
        return x * 2


class StorageBytes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        content = bytes((x + 0).untyped_storage())  # line: storage bytes
        if struct.unpack("<f", content[:4])[0] > 100:
            x = x / 255
        return x * 2


class Address(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        content = ctypes.string_at(x.data_ptr(), 4)  # line: address
        if struct.unpack("<f", content)[0] > 100:
            x = x / 255
        return x * 2


class Pickled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        same = pickle.loads(pickle.dumps(x))  # line: pickled
        if same.max() > 100:
            x = x / 255
        return x * 2


class Capsule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        same = torch.utils.dlpack.from_dlpack(to_dlpack(x))
        if same.max() > 100:  # line: capsule
            x = x / 255
        return x * 2


class EachElement(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x.apply_(lambda value: value / 255 if value > 100 else value)  # line: each element
        return x * 2


class EqualByName(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if equal(x, x.clamp(0, 255).round() * 3 + 0.5):  # line: equal by name
            x = x / 255
        return x * 2


class CopiedDeeply(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if copy.deepcopy({"image": x})["image"].max() > 100:  # line: copied deeply
            x = x / 255
        return x * 2


class Copied(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if copy.copy(x).max() > 100:  # line: copied
            x = x / 255
        return x * 2


class TriedStorage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            scale = 255 if max(x.untyped_storage()) > 100 else 1  # line: tried storage
        except NotImplementedError:
            scale = 1
        return x / scale


@dataclass
class Seen:
    image: Tensor


class Logs(nn.Module):
    """Texts that are read by people alone."""

    def forward(self, x: Tensor) -> Tensor:
        logging.getLogger(__name__).warning("image %s", x)
        print(f"image {x}", [x])
        pprint.pprint({"image": Seen(x)})
        return x * 2


class Addresses(nn.Module):
    """Memory whose content is not read."""

    def forward(self, x: Tensor) -> Tensor:
        if x.data_ptr() == (x + 1).data_ptr() or x.storage().data_ptr() % 4:
            raise ValueError(f"overlaps: {x}")
        if x.untyped_storage().nbytes() < 1:
            x = x + 1
        return x * 2


class AnyOf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if any(value > 100 for value in x.flatten().tolist()):  # line: any of
            x = x / 255
        return x * 2


class Chosen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        large = [value for value in x.flatten().tolist() if value > 100]
        if len(large) > 1:  # line: chosen
            x = x / 255
        return x * 2


class BackInATensor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        largest = torch.tensor(x.max().item())
        if largest > 100:  # line: back in a tensor
            x = x / 255
        return x * 2


class Near(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if math.isclose(x.max().item(), 255, abs_tol=55):  # line: near
            x = x / 255
        return x * 2


class Rounded(nn.Module):
    """The numbers differ from sample to sample, and what they are rounded to does not."""

    def forward(self, x: Tensor) -> Tensor:
        halvings = round(float(x.abs().max()) / 200)  # line: rounded
        for _ in range(halvings):
            x = x / 2
        return x * 2


class Clipped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / max(x.max().item(), 50.0)  # line: clipped


class Collected(nn.Module):
    """A set has a method of a name that tensors have too."""

    def forward(self, x: Tensor) -> Tensor:
        seen: set[int] = set()
        seen.add(int(x.max() / 10))  # line: collected
        if 20 in seen:
            x = x / 255
        return x * 2


class Filled(nn.Module):
    """A method that writes the number into a tensor which depends on nothing else."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.zeros(1)
        kept.fill_(int((x < 100).all()))  # line: filled
        return x * kept


class FilledAndCompared(nn.Module):
    """What such a tensor decides."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.zeros(1)
        kept.fill_(x.max().item())
        if bool(kept > 100):  # line: filled and compared
            x = x / 255
        return x * x.sum().item()


_largest = 0.0


class Global(nn.Module):
    """Another function reads the variable."""

    @staticmethod
    def scaled(x: Tensor) -> Tensor:
        return x / 255 if _largest > 100 else x

    def forward(self, x: Tensor) -> Tensor:
        global _largest
        _largest = x.max().item()  # line: global
        return self.scaled(x) * x.sum().item()


class GlobalFlag(nn.Module):
    """A flag that is only asserted here, and that another function reads."""

    @staticmethod
    def scaled(x: Tensor) -> Tensor:
        return x / 255 if _large else x

    def forward(self, x: Tensor) -> Tensor:
        global _large
        _large = bool(x.max() > 100)  # line: global flag
        assert _large in (True, False)
        return self.scaled(x)


_large = False


class LeavesBefore(nn.Module):
    """The block ends in an exception, unless it is left before."""

    lenient = True

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(1):
            if x.max() > 100:  # line: leaves before
                if self.lenient:
                    x = x / 255
                    continue
                raise ValueError("too large")
        return x * 2


class Compared(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + (x.max().item() > 100))  # line: compared


class RefusedAndCaught(nn.Module):
    """The other side raises, and the caller goes on."""

    def check(self, x: Tensor) -> None:
        if x.max() > 100:  # line: refused and caught
            raise ValueError("pixels")

    def forward(self, x: Tensor) -> Tensor:
        try:
            self.check(x)
        except ValueError:
            x = x / 255
        return x * 2


class AssertedAndCaught(nn.Module):
    def check(self, x: Tensor) -> None:
        assert x.max() <= 100  # line: asserted and caught

    def forward(self, x: Tensor) -> Tensor:
        with contextlib.suppress(AssertionError):
            self.check(x)
            return x * 2
        return x / 255


class Tried(nn.Module):
    """An exporter that refuses the branch is not heard."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            if x.max() > 100:  # line: tried
                x = x / 255
        except Exception:  # noqa: BLE001
            pass
        return x * 2


class TriedNumber(nn.Module):
    def largest(self, x: Tensor) -> float:
        return float(x.numpy().max())  # line: tried number

    def forward(self, x: Tensor) -> Tensor:
        try:
            scale = 255 if self.largest(x) > 100 else 1
        except (RuntimeError, TypeError):
            scale = 1
        return x / scale


class TriesOthers(nn.Module):
    """What is caught here is not what an exporter raises."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            scale = self.missing
        except AttributeError:
            scale = 1
        try:
            x = torch.cat([x.reshape(-1, 4), x.narrow(1, 0, 4)], 1)
        except (KeyError, ValueError):
            x = x * 3
        return x * scale


class AsksFirst(nn.Module):
    """Takes no branch where it is being exported."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # line: asks
            return x * 2
        return x / 255 * 2 if x.max() > 100 else x * 2


class AsksByName(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if is_compiling() or in_export():  # line: asks by name
            return x * 2
        return x / 255 * 2 if x.max() > 100 else x * 2


class AsksByAlias(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if compiler.is_compiling() or tracing():  # line: asks by alias
            return x * 2
        return x / 255 * 2 if x.max() > 100 else x * 2


class AsksDynamo(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        from torch._dynamo import is_compiling as asks

        if asks() or torch._C._get_tracing_state() is not None:  # line: asks dynamo
            return x * 2
        return x / 255 * 2 if x.max() > 100 else x * 2


def asks_in_closure() -> nn.Module:
    from torch.compiler import is_compiling as compiling
    from torch.jit import is_tracing

    class AsksInClosure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if compiling() or is_tracing():  # line: asks in closure
                return x * 2
            return x / 255 * 2 if x.max() > 100 else x * 2

    return AsksInClosure()


class Newton(nn.Module):
    """A loop that the samples leave at different times, and whose answer is the same then."""

    def forward(self, x: Tensor) -> Tensor:
        guess = x.abs().sum()
        while guess > 0.5:
            guess = guess / 2
        return x * 3


class Written(nn.Module):
    """The value that decides is written through a view."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.zeros(2)
        kept[0] = x.max()
        if kept.sum() > 100:  # line: written
            x = x / 255
        return x * 2


class Counted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = (x > 100).nonzero()
        if rows.shape[0] > 0:  # line: counted
            x = x / 255
        return x * 2


class Equal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.equal(x, x.round() * 7 + 0.5):  # line: equal
            return x
        return x * 2


class Alike(nn.Module):
    """Both sides are the same, and the samples are on both."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x.sum()) > 0.01:
            return x * 2
        return x + x


class Checks(nn.Module):
    """Nothing here changes an answer, or is a matter of data."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(3.0))
        self.steps = torch.linspace(0, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        assert (x < 1e9).all()
        if torch.isnan(x).any():
            raise ValueError("not a number")
        large = bool((x > 1e8).any())
        if large:
            warnings.warn("large", stacklevel=1)
        if math.isinf(x.max().item()):
            raise ValueError("infinite")
        if x.shape[0] > 8:
            x = x + 1
        rates = [step.item() for step in self.steps]
        return x * self.scale.item() + sum(rates)


class ChecksArrays(nn.Module):
    """Numbers and arrays that differ from sample to sample, and go into checks and logs alone."""

    def check(self, x: Tensor) -> None:
        pixels = x.detach().cpu().numpy()
        if np.isnan(pixels).any(): raise ValueError("not a number")  # noqa: E701  # fmt: skip
        if not (x < 1e9).all(): raise ValueError(f"too large: {x.max().item()}")  # noqa: E701  # fmt: skip
        largest = x.max().item()
        if math.isinf(largest):
            raise ValueError(f"infinite: {largest}")
        logging.getLogger(__name__).debug(f"largest {largest:.3f} of {x.mean().item()}")

    def forward(self, x: Tensor) -> Tensor:
        try:
            self.check(x)
        except ValueError as error:
            raise RuntimeError("no image") from error
        return x * 2


class Validated(nn.Module):
    """PyTorch's own checks of values."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.distributions.Normal(x, torch.ones_like(x)).log_prob(x + 1)
