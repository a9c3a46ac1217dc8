"""Suggestions: near names are found however they differ, and nothing is suggested for a name that is near to none."""

from __future__ import annotations

import pytest

from tritonize.core import suggestions


@pytest.mark.parametrize(
    ("written", "known", "near"),
    [
        ("hart", ["heart", "lung"], ["heart"]),
        ("HEART", ["heart", "heart2"], ["heart"]),
        ("max-batch size", ["max_batch_size", "batch"], ["max_batch_size"]),
        ("dynamicBatching", ["sequence_batching", "dynamic_batching"], ["dynamic_batching"]),
        ("onnx", ["tensorrt", "onnxruntime"], ["onnxruntime"]),
        ("queue_delay", ["max_queue_delay_microseconds", "priority"], ["max_queue_delay_microseconds"]),
        ("KIND_GPUS", ["KIND_AUTO", "KIND_GPU", "KIND_CPU"], ["KIND_GPU"]),
        ("tolerence", ["outputs", "tolerance"], ["tolerance"]),
        ("modle", ["mode", "models", "model"], ["model"]),
        ("shape", ["scale", "seed"], []),
        ("foo", ["bar", "format", "for"], []),
        ("", ["a", "b"], []),
        ("x", ["max", "index"], []),
        ("图像", ["图像1", "标签"], ["图像1"]),
    ],
)
def test_near_names(written, known, near):
    assert suggestions.near(written, known) == near


def test_a_hint_lists_the_known_names_only_if_none_is_near():
    assert suggestions.hint("fp33", ["fp32", "int8"]) == "did you mean 'fp32'?"
    assert suggestions.hint("complex", ["fp32", "int8"]) == "known: fp32, int8"


def test_an_abbreviation_has_its_letters_in_order():
    backends = ["onnxruntime", "tensorrt", "tensorrt_rtx"]
    assert suggestions.abbreviated("trt", backends) == ["tensorrt", "tensorrt_rtx"]
    assert suggestions.abbreviated("ort", backends) == ["onnxruntime"]
    assert suggestions.abbreviated("x", backends) == []
