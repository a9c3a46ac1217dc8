"""The export for perf_analyzer, and a program of that name that a test puts on PATH: the real one is not run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tritonize.bench import perf_analyzer
from tritonize.bench.load import Shape
from tritonize.bench.perf_analyzer import Subject
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import ServerError

CSV = """Concurrency,Inferences/Second,Client Send,Server Queue,p50 latency,p90 latency,p95 latency,p99 latency
4,995.5,12,80,3200,6300,9000,18000
"""


def subject(address: str = "host:8001", protocol: str = "grpc", **options: object) -> Subject:
    return Subject(model="small", version=2, protocol=protocol, address=address, options=ConnectionOptions(**options))  # type: ignore[arg-type]


def fake(folder: Path, body: str) -> Path:
    """A program that records its arguments and writes results."""
    path = folder / perf_analyzer.PROGRAM
    path.write_text(f'#!/bin/sh\necho "$@" >> called\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


WRITES = f'for last; do :; done\ncat > "$last" <<EOF\n{CSV}EOF'


def test_the_script_runs_every_load_and_takes_another_address(tmp_path) -> None:
    programs, place = tmp_path / "bin", tmp_path / "out"
    programs.mkdir()
    fake(programs, "")
    words = [perf_analyzer.command(subject(), Shape(kind="concurrency", level=level), 1, window_s=2.0) for level in (1, 4)]
    content = perf_analyzer.inputs([{"x": np.zeros((1, 2), np.float32)}], batched=True)
    found, script = perf_analyzer.export(place, content, words, note="Headers are left out.")
    assert json.loads(found.read_text()) == content
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run([script], check=True, env=environment, cwd=tmp_path)
    subprocess.run([script], check=True, env={**environment, "URL": "other:1"}, cwd=tmp_path)
    called = (place / "called").read_text().splitlines()
    assert [("-u host:8001 " in each, "-u other:1 " in each) for each in called] == [(True, False)] * 2 + [(False, True)] * 2
    assert [each.rpartition(" ")[2] for each in called] == ["load-1.csv", "load-2.csv"] * 2


def test_an_installed_program_is_run_and_its_results_are_read(tmp_path, monkeypatch) -> None:
    program = fake(tmp_path, WRITES)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert perf_analyzer.program() == str(program)
    words = perf_analyzer.command(subject(), Shape(kind="concurrency", level=4), 1, window_s=2.0)
    found = perf_analyzer.run(str(program), words, tmp_path, number=1)
    assert (found["Concurrency"], found["Inferences/Second"], found["p99 latency"]) == (4, 995.5, 18000)
    assert "-m small" in (tmp_path / "called").read_text()


def test_a_program_that_fails_is_an_error_with_the_end_of_its_output(tmp_path) -> None:
    program = fake(tmp_path, "echo failed to obtain model metadata; exit 99")
    words = perf_analyzer.command(subject(), Shape(kind="concurrency", level=4), 1, window_s=2.0)
    with pytest.raises(ServerError) as caught:
        perf_analyzer.run(str(program), words, tmp_path, number=1)
    assert "99" in str(caught.value.found)
    assert "failed to obtain model metadata" in str(caught.value)
