"""The description of this machine."""

from __future__ import annotations

import getpass
import socket

from tritonize.core import machine


def test_the_machine_is_described_without_names(monkeypatch, tmp_path) -> None:
    described = machine.describe()
    assert described.endswith((" core", " cores"))
    assert socket.gethostname() not in described
    assert getpass.getuser() not in described.split()
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some   CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Another\n")
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    assert ", Some CPU @ 2 GHz, " in machine.describe()
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "nowhere")
    assert machine.describe().count(",") == 1
