"""Asks a model with pytriton's own client for some seconds and prints requests per second; run by benchmarks/throughput.py."""

import sys
import time

import numpy as np
from pytriton.client import ModelClient


def main() -> None:
    url, path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    volume = np.load(path)
    with ModelClient(url, "network") as client:
        client.infer_sample(volume[0])
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            client.infer_sample(volume[0])
            count += 1
        print(count / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
