"""Asks a running Triton server what is on a photograph."""

import argparse
from pathlib import Path

from photograph import HERE, image
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput


def ask(url: str, photograph: Path, count: int) -> list[tuple[float, str]]:
    """The likeliest labels with their probabilities; the server itself reads labels.txt (classification extension)."""
    pixels = image(photograph)
    question = InferInput("image", list(pixels.shape), "FP32").set_data_from_numpy(pixels)
    client = InferenceServerClient(url)
    try:
        result = client.infer("efficientnet", [question], outputs=[InferRequestedOutput("probabilities", class_count=count)])
    finally:
        client.close()
    answers = [entry.decode().split(":", 2) for entry in result.as_numpy("probabilities").flatten()]
    return [(float(probability), label) for probability, _index, label in answers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photograph", type=Path, nargs="?", default=HERE / "photographs" / "coffee.jpg")
    parser.add_argument("--url", default="127.0.0.1:8001")
    parser.add_argument("--count", type=int, default=5)
    options = parser.parse_args()
    for probability, label in ask(options.url, options.photograph, options.count):
        print(f"{probability:.2f}  {label}")


if __name__ == "__main__":
    main()
