"""The networks, and the whole pipelines in PyTorch that the served ones are compared with."""

from __future__ import annotations

import numpy as np
import torch
from image_steps import DEVIATION, MEAN, UNSURE
from text_steps import LENGTH, VOCABULARY, tokenize


def classifier() -> torch.nn.Module:
    """Scores of three classes for normalized images [batch, 3, 32, 32]."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(3),
        torch.nn.Flatten(),
        torch.nn.Linear(72, 3),
    )


class Pictures(torch.nn.Module):
    """From the camera's pixels to a label: what `image_steps.py` does in NumPy, written again in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = classifier()

    def forward(self, image: torch.Tensor, threshold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return label [batch, 1] and probability [batch, 1]."""
        weight = next(self.classifier.parameters())
        pixels = (image.to(weight.dtype).permute(0, 3, 1, 2) / 255 - float(MEAN)) / float(DEVIATION)
        best, label = torch.softmax(self.classifier(pixels), dim=1).max(dim=1, keepdim=True)
        return torch.where(best >= threshold, label, UNSURE), best


def mood() -> torch.nn.Module:
    """Scores of two moods for ids [batch, LENGTH]."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(len(VOCABULARY) + 2, 8), torch.nn.Flatten(), torch.nn.Linear(8 * LENGTH, 2), torch.nn.Tanh()
    )


class Texts(torch.nn.Module):
    """From a text to its mood. Triton's text arrives as a NumPy array of `str`, since PyTorch has none."""

    def __init__(self) -> None:
        super().__init__()
        self.mood = mood()

    def forward(self, text: np.ndarray) -> torch.Tensor:
        """Return scores [batch, 2]."""
        scores: torch.Tensor = self.mood(torch.from_numpy(tokenize(text)))
        return scores
