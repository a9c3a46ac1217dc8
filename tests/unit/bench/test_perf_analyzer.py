"""The input file and the command lines for perf_analyzer."""

from __future__ import annotations

import base64
import struct
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from tritonize.bench import perf_analyzer
from tritonize.bench.load import Shape
from tritonize.bench.perf_analyzer import Subject
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import MissingError


def subject(address: str = "host:8001", protocol: str = "grpc", **options: object) -> Subject:
    return Subject(model="small", version=2, protocol=protocol, address=address, options=ConnectionOptions(**options))  # type: ignore[arg-type]


def test_samples_are_base64_without_the_batch_axis() -> None:
    array = np.arange(6, dtype=np.int32).reshape(1, 2, 3)
    texts = np.array([[b"ab", "ü"]], object)
    (entry,) = perf_analyzer.inputs([{"x": array, "t": texts}], batched=True)["data"]  # type: ignore[misc]
    assert entry["x"]["shape"] == [2, 3]
    assert np.frombuffer(base64.b64decode(entry["x"]["content"]["b64"]), "<i4").tolist() == [0, 1, 2, 3, 4, 5]
    assert base64.b64decode(entry["t"]["content"]["b64"]) == struct.pack("<I", 2) + b"ab" + struct.pack("<I", 2) + "ü".encode()
    (whole,) = perf_analyzer.inputs([{"x": array}], batched=False)["data"]  # type: ignore[misc]
    assert whole["x"]["shape"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("shape", "size", "words"),
    [
        (Shape(kind="concurrency", level=4), 1, ["--concurrency-range=4"]),
        (Shape(kind="concurrency", level=4), 8, ["-b 8", "--concurrency-range=4"]),
        (Shape(kind="rate", level=12.5), 0, ["--request-rate-range=12.5", "--request-distribution=poisson"]),
    ],
)
def test_a_command_line_has_the_load(shape, size, words) -> None:
    line = " ".join(perf_analyzer.command(subject(), shape, size, window_s=2.0))
    assert line.startswith("perf_analyzer -m small -x 2 -i grpc -u host:8001 --input-data inputs.json --measurement-interval=2000")
    assert all(word in line for word in words)
    assert ("-b " in line) == (size > 1)


def test_tls_has_the_options_of_its_protocol() -> None:
    shape = Shape(kind="concurrency", level=1)
    grpc = " ".join(perf_analyzer.command(subject("grpcs://host:443", ca=Path("ca.pem")), shape, 1, window_s=1.0))
    assert "-u host:443 --ssl-grpc-use-ssl --ssl-grpc-root-certifications-file=ca.pem" in grpc
    http = " ".join(perf_analyzer.command(subject("https://host/models", "http", insecure=True), shape, 1, window_s=1.0))
    assert "-i http -u https://host/models --ssl-https-verify-peer=0 --ssl-https-verify-host=0" in http


@pytest.mark.parametrize(("installed", "code"), [(False, "bench-no-perf-analyzer"), (True, "bench-perf-analyzer-placeholder")])
def test_without_the_program_the_error_knows_the_placeholder(installed, code, monkeypatch, tmp_path) -> None:
    def version(name: str) -> str:
        assert name == "perf-analyzer"
        if installed:
            return "0.1.0"
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(perf_analyzer.metadata, "version", version)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError) as caught:
        perf_analyzer.program()
    assert caught.value.code == code
