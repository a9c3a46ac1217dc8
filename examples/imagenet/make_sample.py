"""Writes each photograph as a sample for the spec, with the key of the model's input."""

import numpy as np
from photograph import HERE, image


def main() -> None:
    output = HERE / "samples"
    output.mkdir(exist_ok=True)
    for photograph in sorted((HERE / "photographs").glob("*.jpg")):
        path = output / f"{photograph.stem}.npz"
        np.savez(path, image=image(photograph))
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
