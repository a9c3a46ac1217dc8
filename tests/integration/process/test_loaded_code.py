"""What a worker reports of the files that its result depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tritonize.process import loaded_code, workers
from tritonize.source import tasks


def test_a_worker_reports_python_files_and_opened_files_of_the_user(tmp_path):
    code = tmp_path / "code"
    (code / "pkg").mkdir(parents=True)
    (code / "pkg" / "__init__.py").write_text("")
    (code / "pkg" / "late.py").write_text("VALUE = 1.0\n")
    (code / "table.csv").write_text("3")
    (tmp_path / "far.txt").write_text("2")
    (code / "draws.py").write_text(
        "import numpy as np\nfrom pathlib import Path\nHERE = Path(__file__).parent\n"
        "def draw(index):\n"
        "    from pkg import late\n"
        "    value = late.VALUE + float((HERE / 'table.csv').read_text()) + float((HERE.parent / 'far.txt').read_text())\n"
        "    (HERE / 'written.txt').write_text('4')\n"
        "    return {'x': np.full((1, 2), value, np.float32)}\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    request = tasks.DrawRequest(function="draws:draw", count=2, seed=0, directory=work / "samples")
    with loaded_code.collecting() as loaded:
        workers.run_worker(tasks.DRAW, request, directory=work, deadline_s=60, search_path=[code])
    own = {path: sha256 for path, sha256 in loaded.files.items() if Path(path).is_relative_to(tmp_path)}
    assert {str(Path(path).relative_to(tmp_path)) for path in own} == {
        "code/draws.py", "code/pkg/__init__.py", "code/pkg/late.py", "code/table.csv", "far.txt"
    }  # fmt: skip
    assert own[str(code / "table.csv")] == hashlib.sha256(b"3").hexdigest()
    assert set(loaded.files) == set(own)
    assert loaded.modules == {
        str(code / "draws.py"): "draws.py",
        str(code / "pkg" / "__init__.py"): "pkg/__init__.py",
        str(code / "pkg" / "late.py"): "pkg/late.py",
    }
    assert "numpy" in loaded.packages
