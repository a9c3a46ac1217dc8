"""CPU time and memory of a process tree."""

from __future__ import annotations

import os
from pathlib import Path

from tritonize.bench import process_use


def _process(root: Path, pid: int, *, ticks: tuple[int, int], pss: int, children: str = "") -> None:
    task = root / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text(children)
    fields = ["S", *("0",) * 10, *map(str, ticks), *("0",) * 20]
    (root / str(pid) / "stat").write_text(f"{pid} (a) name (b) {' '.join(fields)}\n")
    (root / str(pid) / "smaps_rollup").write_text(f"0-1 ---p [rollup]\nRss: 999 kB\nPss: {pss} kB\nPss_Dirty: 7 kB\n")


def test_a_tree_is_added_up(tmp_path) -> None:
    _process(tmp_path, 10, ticks=(100, 50), pss=2048, children="11 12 ")
    _process(tmp_path, 11, ticks=(7, 3), pss=1024)
    found = process_use.read(10, tmp_path)  # 12 has ended meanwhile
    assert found is not None
    assert found.cpu_s * os.sysconf("SC_CLK_TCK") == 160
    assert found.memory == 3072 * 1024
    assert process_use.read(99, tmp_path) is None


def test_of_this_process() -> None:
    found = process_use.read(os.getpid())
    assert found is not None
    assert found.memory > 1e6
    assert 0 < found.cpu_s < 1e6
