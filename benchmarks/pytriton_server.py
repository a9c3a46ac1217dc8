"""Serves an ONNX file with one input and one output with pytriton's Python API, in an environment of its own.

Run by benchmarks/throughput.py and benchmarks/many_clients.py, with the path, two ports and the largest batch.
"""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main() -> None:
    path, http_port, grpc_port, max_batch = sys.argv[1], *map(int, sys.argv[2:5])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()

    @batch
    def infer(**inputs: np.ndarray) -> list[np.ndarray]:
        return session.run([wanted.name], inputs)

    config = TritonConfig(
        http_address="127.0.0.1", http_port=http_port, grpc_address="127.0.0.1", grpc_port=grpc_port, allow_metrics=False
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="network",
            infer_func=infer,
            inputs=[Tensor(name=given.name, dtype=np.float32, shape=tuple(given.shape[1:]))],
            outputs=[Tensor(name=wanted.name, dtype=np.float32, shape=tuple(wanted.shape[1:]))],
            config=ModelConfig(max_batch_size=max_batch),
        )
        triton.serve()


if __name__ == "__main__":
    main()
