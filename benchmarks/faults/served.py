"""A few faults behind the real server: what it serves is a faulted export of a healthy model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults import deploy
from benchmarks.faults.bench import HEALTHY, STALE, Case, generator
from benchmarks.faults.judging import config_of, judge_server
from benchmarks.faults.models import Healthy
from benchmarks.faults.numerical import NUMERICAL
from benchmarks.faults.proof import Proof, prepare
from tritonize.core.errors import MissingError
from tritonize.triton import model_config, serving

FAULTS = ("weights of one layer 1e-04", "batchnorm in training mode", "TF32")
_STALE = "stale version served"


def measure(healthy: Sequence[Healthy], directory: Path) -> list[Case] | str:
    """The healthy models, a stale version and faults of each on one server; why not, where no server can be started."""
    proofs = [prepare(each, 0, directory / each.name) for each in healthy]
    repository = directory / "repository"
    models = {f"{proof.healthy.name}_{place}": (proof, fault) for proof in proofs for place, fault in enumerate(_faults(proof))}
    configs = {name: _write(repository / name, proof, fault) for name, (proof, fault) in models.items()}
    try:
        with serving.serve(repository, directory=directory / "server") as server:
            return [
                Case(
                    model=proof.healthy.name,
                    seed=proof.seed,
                    fault=fault,
                    counts=fault != HEALTHY,
                    strength=None,
                    judged=judge_server(proof, server, name, configs[name], (repository / name / "1" / "model.onnx").read_bytes()),
                )
                for name, (proof, fault) in models.items()
            ]
    except MissingError as error:
        return error.what


def _faults(proof: Proof) -> Iterator[str]:
    yield from (HEALTHY, _STALE)
    for fault in NUMERICAL:
        with torch.no_grad():
            there = fault.put(proof.healthy.module(proof.seed), generator(proof.healthy, proof.seed, fault.name))
        if fault.name in FAULTS and there:
            yield fault.name


def _write(directory: Path, proof: Proof, fault: str) -> Mapping[str, Any]:
    """A model directory; its configuration, parsed."""
    module = proof.healthy.module(proof.seed + (STALE if fault == _STALE else 0))
    for each in NUMERICAL:
        if each.name == fault:
            with torch.no_grad():
                each.put(module, generator(proof.healthy, proof.seed, fault))
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.onnx").write_bytes(deploy.export(proof.healthy, module))
    text = _pbtxt(config_of(proof))
    (directory / "config.pbtxt").write_text(text, encoding="utf-8")
    return model_config.parse(text, where=str(directory))


def _pbtxt(config: Mapping[str, Any]) -> str:
    def tensor(each: Mapping[str, Any]) -> str:
        return f'{{ name: "{each["name"]}" data_type: {each["data_type"]} dims: {each["dims"]} }}'

    def tensors(section: str) -> str:
        return ", ".join(tensor(each) for each in config[section])

    return (
        f'platform: "onnxruntime_onnx"\nmax_batch_size: {config["max_batch_size"]}\n'
        f"input [ {tensors('input')} ]\noutput [ {tensors('output')} ]\ndynamic_batching {{ }}\n"
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )
