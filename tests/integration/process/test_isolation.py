"""`--isolate`: the kernel confines workers to the access that they need; if it cannot, the error names the reason."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.command import tritonize
from tritonize.core.artifacts import Source
from tritonize.core.errors import MissingError, UsageError, WorkerError
from tritonize.process import isolation, isolation_probe, processes, workers
from tritonize.process.isolation import Kernel
from tritonize.source import inspection, tasks

KERNEL = isolation_probe.kernel()
WHOLE = Kernel(landlock=7, no_new_privs="", seccomp="", namespaces="")
needs_kernel = pytest.mark.skipif(bool(KERNEL.missing()), reason=f"not run: this kernel lacks {'; '.join(KERNEL.missing())}")

HOSTILE = """
import json, os, resource, signal, socket, subprocess, sys, tempfile
from pathlib import Path
import torch

def make(port, home, outside, pid):
    def tried(name, act):
        try:
            act()
            done.append(name)
        except BaseException as error:
            refused[name] = type(error).__name__
    done, refused = [], {}
    here = Path(__file__).parent
    own = Path(tempfile.gettempdir())
    tried("connect", lambda: socket.create_connection(("127.0.0.1", port), timeout=2))
    tried("listen", lambda: socket.create_server(("127.0.0.1", 0)))
    tried("unix socket", lambda: socket.socket(socket.AF_UNIX))
    tried("read a key", lambda: (Path(home) / ".ssh/id_test").read_text())
    tried("list the home", lambda: os.listdir(home))
    tried("read a file beside", lambda: Path(outside).read_text())
    tried("write beside", lambda: (Path(outside).parent / "written").write_text("x"))
    tried("cut off a file", lambda: os.truncate(outside, 0))
    tried("write into the code", lambda: (here / "written.py").write_text("x"))
    tried("a link out", lambda: os.symlink(outside, own / "link"))
    tried("a hard link", lambda: os.link(outside, own / "hard"))
    tried("remove a file", lambda: os.unlink(outside))
    tried("signal the caller", lambda: os.kill(pid, 0))
    tried("limit the caller", lambda: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)))
    tried("limit itself", lambda: resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)))
    tried("read the caller's environment", lambda: Path(f"/proc/{pid}/environ").read_bytes())
    tried("a secret of the environment", lambda: os.environ["AWS_SECRET_ACCESS_KEY"])
    tried("shared memory", lambda: open("/dev/shm/tritonize-test", "w"))
    tried("run a program", lambda: subprocess.run(["/bin/true"], check=True))
    tried("write its own", lambda: (own / "mine").write_text("x"))
    tried("read its own code", lambda: (here / "hostile.py").read_text())
    (own / "tried.json").write_text(json.dumps({"done": done, "refused": refused}))
    return torch.nn.Linear(2, 2)
"""
ITS_OWN = {"write its own", "read its own code", "limit itself"}


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    isolation.switch_on(KERNEL)
    yield
    isolation.switch_off()


def attack(monkeypatch: pytest.MonkeyPatch, directory: Path) -> dict[str, object]:
    """Return which of a hostile factory's attempts succeeded."""
    home = Path(os.environ["HOME"])
    (home / ".ssh").mkdir(exist_ok=True)
    (home / ".ssh/id_test").write_text("secret")
    Path("code").mkdir(exist_ok=True)
    Path("code/hostile.py").write_text(HOSTILE)
    Path("victim").mkdir(exist_ok=True)
    victim = Path("victim/data").absolute()
    victim.write_text("data")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        given = {"port": listening.getsockname()[1], "home": str(home), "outside": str(victim), "pid": os.getpid()}
        inspection.inspect(
            Source(kind="factory", location="hostile:make", sha256={}),
            directory,
            kwargs=given,
            search_path=[Path("code").absolute()],
        )
    return json.loads(next(directory.rglob("tried.json")).read_text())


def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    isolation.switch_on(dataclasses.replace(KERNEL, namespaces="not tried"))


@needs_kernel
@pytest.mark.parametrize("namespaces", [True, False])
def test_a_hostile_factory_achieves_nothing(namespaces, isolated, monkeypatch, tmp_path):
    if not namespaces:
        without_namespaces(monkeypatch)
    elif KERNEL.namespaces:
        pytest.skip(f"not run: no user namespaces ({KERNEL.namespaces})")
    found = attack(monkeypatch, tmp_path / "work")
    # In a separate namespace, the caller's process id does not exist or belongs to a different process.
    assert set(found["done"]) == ITS_OWN, found
    assert len(found["refused"]) == 18
    assert Path("victim/data").read_text() == "data"
    assert sorted(path.name for path in Path("victim").iterdir()) == ["data"]
    assert sorted(path.name for path in Path("code").iterdir() if path.suffix) == ["hostile.py"]


def test_without_isolation_the_same_factory_succeeds(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = attack(monkeypatch, tmp_path)
    Path("/dev/shm/tritonize-test").unlink()
    assert found["refused"] == {}, "an attack that fails by itself shows nothing"
    assert len(found["done"]) == 21


@needs_kernel
def test_a_model_is_built_in_isolation(tmp_path):
    Path("model").mkdir()
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(2, 2, 1))
    torch.jit.trace(network.eval(), torch.randn(1, 1, 6, 6, 6)).save("model/heart.pt")
    done = tritonize("build", "heart.pt", "--input", "x:fp32:1x1x6x6x6", "--isolate", cwd=tmp_path / "model")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout


@needs_kernel
@pytest.mark.slow
def test_a_factory_is_served_in_isolation(tmp_path):
    Path("model").mkdir()
    Path("model/net.py").write_text("import torch\n\n\ndef make():\n    return torch.nn.Linear(4, 2).eval()\n")
    done = tritonize("--isolate", "run", "net:make", "--input", "x:fp32:1x4", cwd=tmp_path / "model")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_kernel
def test_code_in_the_home_directory_is_refused(isolated, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    (tmp_path / "home/me").mkdir(parents=True)
    for folder in (tmp_path / "home/me", tmp_path / "home", Path("/")):
        with pytest.raises(UsageError) as caught:
            inspection.inspect(Source(kind="factory", location="a:b", sha256={}), tmp_path / "work", search_path=[folder])
        assert (caught.value.code, caught.value.where) == ("isolation-opens-home", str(folder))


@needs_kernel
def test_isolated_workers_that_hang_or_crash_are_ended(isolated, tmp_path):
    Path("code").mkdir()
    Path("code/bad.py").write_text(
        "import ctypes, os, time\n\ndef hang():\n    time.sleep(60)\n\n"
        "def crash():\n    ctypes.string_at(0)\n\ndef leave():\n    os._exit(7)\n"
    )
    for name, reason, deadline in (("hang", "did not finish", 3.0), ("crash", "SIGSEGV", 60.0), ("leave", "with code 7", 60.0)):
        began = time.monotonic()
        request = tasks.InspectRequest(kind="factory", location=f"bad:{name}")
        folder, code = made(tmp_path / name), [Path("code").absolute()]
        with pytest.raises(WorkerError, match=reason):
            workers.run_worker(tasks.INSPECT, request, directory=folder, deadline_s=deadline, search_path=code)
        assert time.monotonic() - began < 30


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


MISSING = {
    "Landlock version 3": dataclasses.replace(WHOLE, landlock=2),
    "here none": dataclasses.replace(WHOLE, landlock=0),
    "seccomp": dataclasses.replace(WHOLE, seccomp="Function not implemented"),
    "no_new_privs": dataclasses.replace(WHOLE, no_new_privs="Invalid argument"),
}


@pytest.mark.parametrize("part", MISSING)
def test_a_missing_part_of_the_isolation_is_an_error_and_nothing_runs(part):
    with pytest.raises(MissingError) as caught:
        isolation.switch_on(MISSING[part])
    assert caught.value.code == "isolation-missing"
    assert part in caught.value.found
    assert isolation.policy(isolation.Needs(), {}, Path("x"), search_path=()) is None


def test_a_machine_without_namespaces_can_isolate():
    assert dataclasses.replace(WHOLE, namespaces="Operation not permitted").missing() == ()


def test_a_refused_measure_prevents_the_start(tmp_path):
    rules = {"read": ["/"], "write": [str(tmp_path)], "execute": ["/"], "devices": [], "namespaces": False}
    with pytest.raises(MissingError) as caught:
        processes.start(["touch", str(tmp_path / "ran")], log=tmp_path / "log", confine={**rules, "limits": {"RLIMIT_NONE": 1}})
    assert caught.value.code == "isolation-refused"
    assert "RLIMIT_NONE" in caught.value.found
    assert not (tmp_path / "ran").exists()


def test_doctor_reports_the_isolation_of_this_machine():
    found = json.loads(tritonize("doctor", "--json").stdout)["probes"]
    (probe,) = [each for each in found if "isolation" in each["name"]]
    assert probe["ok"]
    assert ("missing" in probe["found"]) == bool(KERNEL.missing())
    assert "Landlock" in probe["found"]


@needs_kernel
def test_a_module_of_the_callers_own_process_is_read_from_its_private_folder(isolated, tmp_path):
    private = made(tmp_path / "private")
    torch.save(torch.nn.Linear(2, 3), private / "Linear.module")
    rules, environment = isolation.policy(
        isolation.Needs(), {"kind": "module", "location": str(private / "Linear.module")}, tmp_path, search_path=()
    )
    assert str(private) in rules["read"]
    assert environment["HOME"] == environment["TMPDIR"] == str(tmp_path / "tmp")
    location = str(private / "Linear.module")
    found = inspection.inspect(Source(kind="module", location=location, sha256={}), tmp_path / "work")
    assert found.parameters == 9


@needs_kernel
def test_a_path_under_an_unknown_key_is_not_readable(isolated, tmp_path):
    Path("data").mkdir()
    secret = str(Path("data").absolute())
    request = {"kwargs": {"path": secret, "location": secret}, "unknown": secret, "path": secret}
    rules, _ = isolation.policy(
        isolation.Needs(), {key: value for key, value in request.items() if key != "path"}, tmp_path, search_path=()
    )
    assert secret not in rules["read"]
    rules, _ = isolation.policy(isolation.Needs(), request, tmp_path, search_path=())
    assert secret in rules["read"]
    assert secret not in rules["write"]
