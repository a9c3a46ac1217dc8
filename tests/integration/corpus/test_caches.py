"""Key-value caches of transformers as outputs, where it is installed: the stand-in of the other tests is like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.exporting import exported
from tritonize.core.artifacts import TensorSpec
from tritonize.source.worker.torch_model import LoadedModel

transformers = pytest.importorskip("transformers", reason="transformers is of the corpus, and is not installed here")
_SMALL = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_T5 = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}


def decoder() -> tuple[torch.nn.Module, list[str], int]:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SMALL)), ["input_ids"], 2 * 2


def encoder_decoder() -> tuple[torch.nn.Module, list[str], int]:
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**_T5))
    return model, ["input_ids", "decoder_input_ids"], 2 * 2 * 2


@pytest.mark.parametrize("make", [decoder, encoder_decoder])
def test_a_cache_is_exported_as_its_tensors(make: Any, tmp_path: Path) -> None:
    module, names, tensors = make()
    model = LoadedModel(module, names, ())
    batch = {name: np.random.default_rng(0).integers(1, 50, (2, 6)) for name in names}
    expected = model.run(batch)
    assert sum(name.endswith((".key", ".value")) for name in expected) == tensors
    inputs = [TensorSpec(name=name, dtype="int64", shape=("batch", 6)) for name in names]
    session = exported(model, inputs, list(expected), model.tensors(batch), "dynamo_decomposed", tmp_path / "m.onnx")
    three = {name: np.random.default_rng(1).integers(1, 50, (3, 6)) for name in names}
    for found, wanted in zip(session.run(None, three), model.run(three).values(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
