"""`tritonize run --quick`, with the real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import tritonize

MANIFEST = Path("model_repository/classifier/1/evidence/manifest.json")


@pytest.mark.server
def test_it_is_published_as_quick_and_the_full_run_follows(model_files: Path) -> None:
    arguments = ("run", str(model_files / "classifier.pt"), "--input", "INPUT__0:fp32:1x4", "--max-batch-size", "8")
    done = tritonize(*arguments, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert (report["verdict"], report["published"]) == ("passed quick", True)
    sizes = {(check["stage"], check["batch_size"]) for check in report["checks"]}
    assert sizes == {
        *(("pytorch", 8), ("again", 8), ("order", 8)),
        *((stage, size) for stage in ("onnxruntime", "http", "grpc", "shm") for size in (1, 8)),
    }
    assert report["floors"] == []
    manifest = json.loads(MANIFEST.read_text())
    assert manifest["verdict"] == "passed quick"
    assert manifest["quick"] == report["details"]["quick"]
    assert "float64" in manifest["quick"]["left_out"]

    again = tritonize(*arguments, "--quick")
    assert (again.returncode, "UP TO DATE classifier version 1" in again.stdout) == (0, True)
    verified = " ".join(tritonize("verify").stdout.split())
    assert "PASSED (QUICK) classifier version 1: " in verified
    assert "; a quick run published the version" in verified
    full = tritonize(*arguments)
    assert "\nPASSED classifier version 2: " in full.stdout

    held = " ".join(tritonize(*arguments, "--quick", "--force").stdout.split())
    assert "PASSED (QUICK) classifier version 3: " in held
    assert "; not published, since version 2, which is served, has a full proof (--allow-unproven)" in held
    assert not Path("model_repository/classifier/3").exists()
    allowed = tritonize(*arguments, "--quick", "--force", "--allow-unproven", "--json")
    assert json.loads(allowed.stdout)["reports"][0]["published"]
    assert Path("model_repository/classifier/3/evidence/report.html").is_file()


def test_a_wrong_export_still_fails() -> None:
    """Within what a quick run compares: the file's outputs are three halves of PyTorch's."""
    Path("wrong.py").write_text(
        "import torch\n"
        "class Wrong(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x * 2 if torch.compiler.is_exporting() or torch.jit.is_tracing() else x * 3\n"
    )
    Path("spec.yaml").write_text(
        "schema: 1\nmodels: {wrong: {source: 'wrong:Wrong', strategies: [legacy], inputs: {x: {shape: [1, 4]}}}}\n"
    )
    done = tritonize("build", "spec.yaml", "--quick")
    assert done.returncode == 1, done.stderr
    assert "FAILED wrong" in done.stdout
    assert "outside the tolerance" in done.stdout
