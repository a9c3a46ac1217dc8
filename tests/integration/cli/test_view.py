"""`tritonize view`: Netron on a published network."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support import report_samples
from tests.support.command import tritonize


@pytest.fixture
def version(tmp_path) -> Path:
    return report_samples.published(tmp_path)


def test_view_without_netron_names_the_extra_to_install(version, tmp_path):
    hidden = "lambda name, *more: None if name == 'netron' else find(name, *more)"
    (tmp_path / "sitecustomize.py").write_text(f"import importlib.util as u\nfind = u.find_spec\nu.find_spec = {hidden}\n")
    done = tritonize("view", str(version.parents[1]), env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 3
    assert 'pip install "tritonize[view]"' in done.stderr


def test_view_serves_the_network_locally_until_interrupted(version):
    pytest.importorskip("netron", reason='Netron is not installed: pip install "tritonize[view]"')
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [])
    onnx.save(onnx.helper.make_model(graph), version / "model.onnx")
    command = [str(Path(sys.executable).with_name("tritonize")), "view", str(version.parents[1]), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        line = running.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert "Netron" in answer.read().decode()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
