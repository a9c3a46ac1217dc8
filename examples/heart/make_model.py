"""Trains the network on synthetic volumes and saves it as TorchScript."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from network import HeartUNet
from synthetic import Volume, volume
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

CROP = 96
BATCH = 2
VOLUMES = 8
RENEWED = 5


def train(network: HeartUNet, steps: int, generator: np.random.Generator) -> None:
    """A fixed number of steps on random crops of a few volumes, of which one is renewed every few steps."""
    pairs = [np.stack(volume(generator)) for _ in range(VOLUMES)]
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    network.train()
    for step in range(steps):
        if step % RENEWED == 0:
            pairs[step // RENEWED % VOLUMES] = np.stack(volume(generator))
        crops = torch.from_numpy(np.stack([crop(pairs[generator.integers(VOLUMES)], generator) for _ in range(BATCH)]))
        image, truth = crops[:, :1], crops[:, 1:]
        logits = network.logits(image)
        loss = binary_cross_entropy_with_logits(logits, truth) + 1 - dice(torch.sigmoid(logits), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1:4d}  loss {loss.item():.3f}")


def crop(pair: Volume, generator: np.random.Generator) -> Volume:
    """A random cube of a stack of volumes."""
    z, y, x = (int(generator.integers(side - CROP + 1)) for side in pair.shape[1:])
    return pair[:, z : z + CROP, y : y + CROP, x : x + CROP]


def dice(prediction: Tensor, truth: Tensor) -> Tensor:
    """The Dice score of two masks, soft or hard: 1 is the same, 0 is apart."""
    return (2 * (prediction * truth).sum() + 1) / (prediction.sum() + truth.sum() + 1)


def held_out(generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch of two volumes of the full size that training has not seen, and their masks."""
    pairs = torch.from_numpy(np.stack([np.stack(volume(generator)) for _ in range(2)]))
    return pairs[:, :1], pairs[:, 1:]


def save(network: HeartUNet, path: Path, images: Tensor) -> None:
    """Traces the network, writes it, and checks that the file answers like the network for one volume and for two.

    A trace may keep what it was made with, so it is made on noise, of another size than the volumes of the check.
    """
    torch.jit.trace(network, torch.randn(2, 1, CROP, CROP, CROP)).save(path)
    loaded = torch.jit.load(path)
    for size in (1, 2):
        torch.testing.assert_close(loaded(images[:size]), network(images[:size]), rtol=1e-5, atol=1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("heart.pt"))
    parser.add_argument("--steps", type=int, default=300, help="300 take less than a minute on two cores")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(2)  # the order of sums, and so the last bits of the weights, depend on it
    training, testing = np.random.default_rng(options.seed).spawn(2)
    network = HeartUNet()
    started = time.monotonic()
    train(network, options.steps, training)
    print(f"trained {options.steps} steps in {time.monotonic() - started:.0f} s")

    network.eval()
    images, truths = held_out(testing)
    with torch.inference_mode():
        for image, truth in zip(images, truths, strict=True):
            print(f"Dice on a held-out volume: {dice((network(image[None])[0] > 0.5).float(), truth).item():.3f}")
        save(network, options.output, images)
    print(f"saved {options.output}, {options.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
