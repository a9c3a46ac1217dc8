"""Serves an ONNX file with pytriton's Python API; run by benchmarks/throughput.py in an environment of its own."""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main() -> None:
    path, http_port, grpc_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    @batch
    def infer(volume: np.ndarray) -> list[np.ndarray]:
        return session.run(["mask"], {"volume": volume})

    config = TritonConfig(
        http_address="127.0.0.1", http_port=http_port, grpc_address="127.0.0.1", grpc_port=grpc_port, allow_metrics=False
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="network",
            infer_func=infer,
            inputs=[Tensor(name="volume", dtype=np.float32, shape=(1, 128, 128, 128))],
            outputs=[Tensor(name="mask", dtype=np.float32, shape=(1, 128, 128, 128))],
            config=ModelConfig(max_batch_size=1),
        )
        triton.serve()


if __name__ == "__main__":
    main()
