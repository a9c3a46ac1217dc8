"""Command lines of the ways to start a server, as data. `tests/e2e/test_ways.py` compares the options with a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize.triton.server import binary, command_line, docker, gpu_access
from tritonize.triton.server.command_line import Wanted
from tritonize.triton.server.ports import Ports
from tritonize.triton.server.program import Program


def test_names_of_options() -> None:
    help_text = "  --id <string>\n\tSee --grpc-port.\n  --http-restricted-api <<string>:<string>=<string>>\n -- --x2"
    assert command_line.names(help_text.split()) == {"--id", "--grpc-port", "--http-restricted-api"}
    assert command_line.names(["--backend-config=python,shm--x=1", "/a--b"]) >= {"--backend-config"}


def test_what_a_server_is_to_do_is_in_its_options() -> None:
    wanted = Wanted(name="n", repository="/models", ports=Ports(http=1, grpc=2, address="0.0.0.0"))
    assert command_line.options(wanted) == [
        "--id=n",
        "--model-repository=/models",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--exit-on-error=false",
        "--strict-readiness=false",
        "--exit-timeout-secs=5",
        "--http-address=0.0.0.0",
        "--http-port=1",
        "--grpc-address=0.0.0.0",
        "--grpc-port=2",
        "--allow-metrics=false",
    ]
    more = Wanted(name="n", repository="/m", ports=Ports(metrics=3), explicit=True, variant="v", complete=True, python=True)
    assert {
        "--model-control-mode=explicit",
        "--load-model=*",
        "--model-config-name=v",
        "--metrics-port=3",
        "--backend-config=python,shm-region-prefix-name=n",
    } <= set(command_line.options(more))
    assert "--disable-auto-complete-config" not in command_line.options(more)


def _program(*, gpu: bool) -> Program:
    return Program(way="docker", command=("docker",), variables={}, python=False, image=docker.image("26.06"), gpu=gpu)


@pytest.mark.parametrize("gpu", [False, True])
def test_docker_run(gpu: bool, tmp_path: Path) -> None:
    odd = tmp_path / 'a, "b".onnx'
    words = docker.run(
        _program(gpu=gpu),
        "tritonize-1",
        folder=tmp_path / "models",
        files={"m/1/model.onnx": odd},
        published=Ports(http=5, grpc=6, metrics=7, address="0.0.0.0"),
    )
    assert words[:4] == ["docker", "run", "--rm", "--name=tritonize-1"]
    assert words[-2:] == ["nvcr.io/nvidia/tritonserver:26.06-py3", "tritonserver"]
    assert [each for each in words if each.startswith("--publish")] == [
        "--publish=0.0.0.0:5:8000",
        "--publish=0.0.0.0:6:8001",
        "--publish=127.0.0.1:7:8002",  # metrics are for this machine alone, as with every other way
    ]
    assert ("--gpus=all" in words) == gpu
    quoted = str(odd).replace('"', '""')
    assert f'--mount=type=bind,"source={quoted}",target=/models/m/1/model.onnx,readonly' in words
    assert f"--mount=type=bind,source={tmp_path / 'models'},target=/models,readonly" in words


def test_the_files_behind_links_are_laid_out_without_evidence(tmp_path: Path) -> None:
    (tmp_path / "kept" / "evidence").mkdir(parents=True)
    (tmp_path / "kept" / "evidence" / "report.json").touch()
    (tmp_path / "kept" / "model.onnx").write_text("weights")
    (tmp_path / "links" / "m").mkdir(parents=True)
    (tmp_path / "links" / "m" / "1").symlink_to(tmp_path / "kept")
    (tmp_path / "links" / "m" / "config.pbtxt").write_text("config")
    found = docker.lay_out(tmp_path / "links", tmp_path / "models")
    assert found == {"m/1/model.onnx": tmp_path / "kept/model.onnx", "m/config.pbtxt": tmp_path / "links/m/config.pbtxt"}
    assert {str(path.relative_to(tmp_path / "models")): path.stat().st_size for path in (tmp_path / "models").rglob("*.*")} == {
        "m/1/model.onnx": 0,
        "m/config.pbtxt": 0,
    }


def test_a_gpu_is_wanted_by_a_group_of_instances(tmp_path: Path) -> None:
    for name, text in {"gpu": "instance_group [ { kind: KIND_GPU } ]", "cpu": "# kind: KIND_GPU\nkind: KIND_CPU"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(text)
    assert gpu_access.wants_gpu(tmp_path, ["cpu", "gpu"])
    assert not gpu_access.wants_gpu(tmp_path, ["cpu"])


def test_a_tritonserver_on_path_gets_no_python_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary.sys, "prefix", "/venv")
    given = {"PATH": "/venv/bin:/opt/tritonserver/bin", "PYTHONPATH": "x", "VIRTUAL_ENV": "/venv", "LD_LIBRARY_PATH": "/opt/lib"}
    assert binary.variables(given) == {"PATH": "/opt/tritonserver/bin", "LD_LIBRARY_PATH": "/opt/lib"}
