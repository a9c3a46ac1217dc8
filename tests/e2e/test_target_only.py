"""A version with fields that only its target can load: proven without them, published with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.internal import decoder
from tritonclient.grpc import model_config_pb2

from tests.support.command import tritonize
from tritonize.triton import set_aside
from tritonize.triton.server import environment

SPEC = """
schema: 1
models:
  classifier:
    source: {source}
    inputs: {{INPUT__0: {{dtype: fp32, shape: [batch, 4]}}}}
    max_batch_size: 2
    triton:
      instance_group: [{{kind: KIND_GPU, gpus: [0]}}]
      model_metrics: {{metric_control: [{{metric_identifier: {{family: nv_inference_request_summary_us}}}}]}}
"""
PLACE = Path("model_repository/classifier")


@pytest.mark.server
def test_it_is_published_if_the_target_is_declared(model_files: Path) -> None:
    text = SPEC.format(source=model_files / "classifier.pt")
    Path("spec.yaml").write_text('target: {triton: "26.06", compute_capabilities: ["8.9"]}' + text)
    declared = tritonize("run", "spec.yaml", "--json")
    assert declared.returncode == 0, declared.stderr
    (report,) = json.loads(declared.stdout)["reports"]
    assert report["verdict"] == "passed here"
    config = (PLACE / "config.pbtxt").read_text()
    assert "KIND_GPU" in config
    assert "model_metrics" in config
    manifest = json.loads((PLACE / "1/evidence/manifest.json").read_text())
    assert manifest["verdict"] == "passed here"
    assert [each["field"] for each in manifest["set_aside"]] == ["instance_group[0]", "model_metrics"]

    # What is not declared is another spec, so the model runs again.
    Path("spec.yaml").write_text(text)
    undeclared = tritonize("run", "spec.yaml")
    assert undeclared.returncode == 3, undeclared.stderr
    words = " ".join(undeclared.stdout.split())
    assert "NOT RUN classifier version 2: Whole configuration: instance_group[0] KIND_GPU: " in words
    assert "Declare the deployment in the spec: target.compute_capabilities and target.triton" in words
    assert sorted(path.name for path in PLACE.iterdir()) == ["1", "config.pbtxt"]

    verified = tritonize("verify", "model_repository")
    assert verified.returncode == 0, verified.stderr
    assert "\nPASSED HERE classifier version 1: " in verified.stdout


def test_the_newer_fields_are_those_that_the_servers_binary_does_not_know() -> None:
    server = environment.ready(None).server
    described = _described(server.read_bytes())
    known = set(_fields(described.message_type))
    ours = descriptor_pb2.FileDescriptorProto()
    model_config_pb2.DESCRIPTOR.CopyToProto(ours)
    messages = {message.name for message in described.message_type}
    newer = {each for each in _fields(ours.message_type) if each not in known and each.split(".")[0] in messages}
    # Of a message that is new as a whole, the field that contains it is enough.
    places = {"ModelConfig.model_metrics": "model_metrics"}
    places["ModelEnsembling.max_inflight_requests"] = "ensemble_scheduling.max_inflight_requests"
    assert {places.get(each, each) for each in newer} == set(set_aside.NEWER)


def _described(binary: bytes) -> descriptor_pb2.FileDescriptorProto:
    """The description of `model_config.proto` that protobuf's compiler puts into every program that uses it."""
    start = binary.index(b"\x0a\x12model_config.proto\x12")
    end = start
    while True:
        tag, position = decoder._DecodeVarint(binary, end)  # type: ignore[attr-defined]
        if tag >> 3 not in range(1, 13):
            break
        size, position = decoder._DecodeVarint(binary, position)  # type: ignore[attr-defined]
        end = position + (size if tag & 7 == 2 else 0)
        if tag >> 3 == 12:  # `syntax`, the last field
            break
    return descriptor_pb2.FileDescriptorProto.FromString(binary[start:end])


def _fields(messages: list[descriptor_pb2.DescriptorProto], prefix: str = "") -> Iterator[str]:
    for message in messages:
        yield from (f"{prefix}{message.name}.{field.name}" for field in message.field)
        yield from _fields(list(message.nested_type), f"{prefix}{message.name}.")
