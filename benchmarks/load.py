"""Sends the same prepared request from several threads and prints requests per second, for benchmarks/many_clients.py.

It takes protocol, address, threads and seconds. Requests are prepared once and sent as bytes, and a response is compared as bytes
with those that were right before, so that little of the time is the client's.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SHAPE = (1, 3, 32, 32)
IMAGE = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)


def main() -> None:
    protocol, address, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    prepare = over_grpc if protocol == "grpc" else over_http
    senders = [prepare(address) for _ in range(threads)]
    for send in senders:
        send()
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        counts = list(pool.map(lambda send: _count(send, started + seconds), senders))
    print(sum(counts) / (time.perf_counter() - started))


def _count(send: Callable[[], bytes], until: float) -> int:
    count, first = 0, send()
    right = {first}
    while time.perf_counter() < until:
        answer = send()
        count += 1
        if answer not in right:  # a batch of another size adds in another order
            np.testing.assert_allclose(*(np.frombuffer(each, np.float32) for each in (answer, first)), rtol=1e-4, atol=1e-5)
            right.add(answer)
    return count


def over_grpc(address: str) -> Callable[[], bytes]:
    """A function that sends the request over a channel of its own."""
    import grpc
    from tritonclient.grpc import service_pb2

    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="FP32", shape=SHAPE)
    request = service_pb2.ModelInferRequest(model_name="network", inputs=[tensor], raw_input_contents=[IMAGE.tobytes()])
    channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    body = request.SerializeToString()

    def send() -> bytes:
        response = service_pb2.ModelInferResponse.FromString(call(body))
        return response.raw_output_contents[0]

    return send


def over_http(address: str) -> Callable[[], bytes]:
    """A function that sends the request, with binary tensors, over a connection of its own."""
    connection = http.client.HTTPConnection(address)
    described = {
        "inputs": [{"name": "image", "shape": SHAPE, "datatype": "FP32", "parameters": {"binary_data_size": IMAGE.nbytes}}],
        "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(described).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    body = head + IMAGE.tobytes()

    def send() -> bytes:
        connection.request("POST", "/v2/models/network/infer", body, headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {content[:200]!r}")
        return content[int(response.headers["Inference-Header-Content-Length"]) :]

    return send


if __name__ == "__main__":
    main()
