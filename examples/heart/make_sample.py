"""Writes synthetic volumes as samples for the spec: one file each, with the key of the model's input."""

import argparse
from pathlib import Path

import numpy as np
from synthetic import volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("samples"))
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(options.seed)
    for index in range(options.count):
        image, _ = volume(generator)
        path = options.output / f"volume_{index}.npz"
        np.savez(path, INPUT__0=image[None, None])
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
