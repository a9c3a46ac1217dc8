"""Specs and artifacts whose config.pbtxt the tests compare."""

from __future__ import annotations

from pathlib import Path

from tritonize.core.artifacts import OnnxArtifact, TensorSpec
from tritonize.spec import schema


def tensor(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def artifact(inputs: list[TensorSpec], outputs: list[TensorSpec]) -> OnnxArtifact:
    return OnnxArtifact(
        path=Path("model.onnx"),
        node_map=None,
        sha256="",
        size=0,
        opset=18,
        ir_version=8,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        exporter="",
        strategy="legacy",
        simplified=True,
    )


def model(**fields) -> schema.Model:
    return schema.Model.model_validate({"source": "m.pt", "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 2, **fields})


CASES = {
    "heart": (
        model(
            triton={
                "dynamic_batching": {"max_queue_delay_microseconds": 500},
                "instance_group": [{"kind": "KIND_CPU", "count": 2}],
            }
        ),
        artifact([tensor("INPUT__0", "fp32", "batch", 1, 160, 176, 176)], [tensor("OUTPUT__0", "fp32", "batch", 1, 160, 176, 176)]),
    ),
    "no_batch": (
        model(max_batch_size=0, inputs={"x": {"shape": [4, "length"]}}, axes={"length": {"max": 8}}),
        artifact([tensor("x", "int64", 4, "length")], [tensor("y", "bool", 4, "length"), tensor("sum", "fp64")]),
    ),
    "labels": (
        model(outputs={"probabilities": {"labels": "labels.txt"}, "index": {}}, max_batch_size=8),
        artifact(
            [tensor("image", "fp16", "batch", 3, 224, 224)],
            [tensor("probabilities", "bf16", "batch", 1000), tensor("index", "int32", "batch")],
        ),
    ),
    "every_section": (
        model(
            max_batch_size=1,
            triton={
                "optimization": {
                    "execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]},
                    "graph": {"level": 1},
                },
                "parameters": {"intra_op_thread_count": {"string_value": 'a "quoted" \\ line\nand ünïcode'}},
                "version_policy": {"latest": {"num_versions": 2}},
                "model_warmup": [
                    {"name": "w", "batch_size": 1, "inputs": {"x": {"data_type": "TYPE_FP32", "dims": [4], "zero_data": True}}}
                ],
                "response_cache": {"enable": True},
                "sequence_batching": {"max_sequence_idle_microseconds": 100, "oldest": {"max_candidate_sequences": 4}},
            },
        ),
        artifact([tensor("x", "uint8", "batch", 4)], [tensor("y", "int8", "batch", 4)]),
    ),
}
