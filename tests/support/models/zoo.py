"""Small models for the tests, good and bad. `python zoo.py FOLDER` writes the files among them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch


class Classifier(torch.nn.Module):
    """1x4 to probabilities of 3 classes."""

    def __init__(self, hidden: int = 8) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, hidden)
        self.last = torch.nn.Linear(hidden, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(torch.relu(self.first(x))), dim=-1)


class Volume(torch.nn.Module):
    """A small 3-D network with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv3d(1, 4, 3, padding=1)

    def forward(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(self.conv(volume))
        return features, features.mean(dim=(2, 3, 4))


class Scores(torch.nn.Module):
    """One number per sample, and an index: outputs without axes of their own."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.sum(dim=1), x.argmax(dim=1)


class Named(torch.nn.Module):
    """Two named inputs, a dict of outputs."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": left + right, "larger": left > right}


class Sequence(torch.nn.Module):
    """A second dynamic axis."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(16, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.embedding(ids).cumsum(dim=1)


class MixesBatch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0, keepdim=True)


class SumsBatch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum()


class Text(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> str:
        return "no tensor"


class Raises(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError(f"the model dislikes {tuple(x.shape)}")


def classifier(hidden: int = 8) -> torch.nn.Module:
    torch.manual_seed(0)
    return Classifier(hidden)


def volume() -> torch.nn.Module:
    torch.manual_seed(0)
    return Volume()


def scores() -> torch.nn.Module:
    return Scores()


def named() -> torch.nn.Module:
    return Named()


def sequence() -> torch.nn.Module:
    torch.manual_seed(0)
    return Sequence()


def mixes_batch() -> torch.nn.Module:
    return MixesBatch()


def sums_batch() -> torch.nn.Module:
    return SumsBatch()


def text() -> torch.nn.Module:
    return Text()


def raises() -> torch.nn.Module:
    return Raises()


def fails() -> torch.nn.Module:
    raise OSError("the factory cannot find its file")


def hangs() -> torch.nn.Module:
    time.sleep(3600)
    return Classifier()


def exits() -> torch.nn.Module:
    sys.exit(3)


def no_module() -> int:
    return 7


def write(folder: Path) -> None:
    """Every file that a test reads."""
    torch.jit.script(classifier()).save(str(folder / "classifier.pt"))
    torch.jit.trace(volume(), torch.randn(1, 1, 8, 8, 8)).save(str(folder / "volume.pt"))
    torch.jit.script(scores()).save(str(folder / "scores.pt"))
    torch.save(classifier(16).state_dict(), folder / "weights.pt")
    torch.save(classifier(), folder / "pickle.pt")
    whole = (folder / "classifier.pt").read_bytes()
    (folder / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    (folder / "text.pt").write_text("this is no model\n")
    (folder / "empty.pt").touch()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
