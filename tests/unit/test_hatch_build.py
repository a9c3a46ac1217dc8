"""The build hook: which compiler it takes, what it adds to a wheel, and what it says where it cannot compile."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.command import CHECKOUT


class Interface:
    """Stands for hatchling's class, which is installed only where a wheel is built."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.warnings: list[str] = []
        self.app = SimpleNamespace(display_warning=self.warnings.append)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    name = "hatchling.builders.hooks.plugin.interface"
    for length in range(1, 6):
        monkeypatch.setitem(sys.modules, ".".join(name.split(".")[:length]), ModuleType(name))
    monkeypatch.setattr(sys.modules[name], "BuildHookInterface", Interface, raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", CHECKOUT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sysconfig, "get_platform", lambda: "linux-x86_64")
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv("CC", raising=False)
    return module


@pytest.fixture
def commands(hook: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the hook runs; each writes the file that it names."""
    started: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append(command)
        Path(command[command.index("-o") + 1]).write_bytes(b"compiled")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(hook.subprocess, "run", run)
    monkeypatch.setattr(hook.importlib.util, "find_spec", lambda name: object())
    return started


@pytest.fixture
def checkout(hook: Any, tmp_path: Path) -> Path:
    sources = tmp_path / hook.SOURCES
    sources.mkdir(parents=True)
    for name in ("b.c", "a.c", "a.h"):
        (sources / name).write_text("")
    return tmp_path


def test_a_wheel_gets_the_library_and_the_tag_of_the_glibc_that_zig_links_for(
    hook: Any, commands: list[list[str]], checkout: Path
) -> None:
    data: dict[str, Any] = {"force_include": {}}
    made = hook.NativeBackendHook(checkout)
    made.initialize("standard", data)
    ((library, place),) = data["force_include"].items()
    assert Path(library).read_bytes() == b"compiled"
    assert place == f"{hook.SOURCES}/{hook.LIBRARY}"
    assert (data["pure_python"], data["tag"]) == (False, "py3-none-manylinux_2_28_x86_64")
    assert not (checkout / hook.SOURCES / hook.LIBRARY).exists()
    (command,) = commands
    assert command[:6] == [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.28"]
    assert [each for each in command if each.endswith(".c")] == ["a.c", "b.c"]
    made.finalize("standard", data, "")
    assert not Path(library).exists()


def test_an_editable_installation_gets_it_beside_the_sources(hook: Any, commands: list[list[str]], checkout: Path) -> None:
    data: dict[str, Any] = {"force_include": {}}
    made = hook.NativeBackendHook(checkout)
    made.initialize("editable", data)
    made.finalize("editable", data, "")
    sources = checkout / hook.SOURCES
    assert (sources / hook.LIBRARY).read_bytes() == b"compiled"
    assert not data["force_include"]
    assert sorted(path.name for path in sources.iterdir()) == ["a.c", "a.h", "b.c", hook.LIBRARY]
    assert len(commands) == 1


def test_a_given_compiler_is_used_and_its_wheel_is_for_this_machine(
    hook: Any, commands: list[list[str]], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "ccache gcc")
    made = hook.NativeBackendHook(checkout)
    assert made.dependencies() == []
    data: dict[str, Any] = {"force_include": {}}
    made.initialize("editable", data)
    assert data["tag"] == "py3-none-linux_x86_64"
    assert commands[0][:2] == ["ccache", "gcc"]
    assert "-Werror" not in commands[0]  # another compiler has other warnings


def test_pip_installs_zig_without_a_given_compiler(hook: Any, checkout: Path) -> None:
    assert hook.NativeBackendHook(checkout).dependencies() == ["ziglang==0.17.0"]


@pytest.mark.parametrize(
    ("system", "libc"),
    [
        ("macosx-14.0-arm64", ("", "")),
        ("linux-riscv64", ("glibc", "2.36")),
        ("linux-x86_64", ("", "")),  # musl
        ("linux-x86_64", ("glibc", "2.27")),
    ],
)
def test_other_platforms_get_a_wheel_without_it(
    system: str,
    libc: tuple[str, str],
    hook: Any,
    commands: list[list[str]],
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hook.sysconfig, "get_platform", lambda: system)
    monkeypatch.setattr(hook.platform, "libc_ver", lambda: libc)
    made = hook.NativeBackendHook(checkout)
    data: dict[str, Any] = {"force_include": {}}
    made.initialize("standard", data)
    made.finalize("standard", data, "")
    assert made.dependencies() == []
    assert data == {"force_include": {}}
    assert commands == []
    (warning,) = made.warnings
    assert "without its embedded Triton server" in warning
    assert system in warning


def test_without_a_compiler_the_error_names_what_to_install(hook: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"Set CC .*, or run: pip install ziglang==0\.17\.0"):
        hook.NativeBackendHook(checkout).initialize("standard", {})


def test_a_failing_compiler_is_quoted_and_the_old_library_stays(hook: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = checkout / hook.SOURCES / hook.LIBRARY
    library.write_bytes(b"old")
    failed = subprocess.CompletedProcess([], 1, "", "a.c:1:1: error: nonsense")
    monkeypatch.setattr(hook.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setenv("CC", "gcc")
    with pytest.raises(RuntimeError, match=r"does not compile:\ngcc -std=c11 (.|\n)*a\.c:1:1: error: nonsense"):
        hook.NativeBackendHook(checkout).initialize("editable", {})
    assert library.read_bytes() == b"old"


def test_a_missing_compiler_is_an_error(hook: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(hook.subprocess, "run", missing)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(RuntimeError, match=r"does not start: no-such-compiler: .*No such file"):
        hook.NativeBackendHook(checkout).initialize("editable", {})


def test_a_wheel_for_another_processor_is_cross_compiled(
    hook: Any, commands: list[list[str]], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook.sysconfig, "get_platform", lambda: "macosx-14.0-arm64")  # any machine will do
    monkeypatch.setenv("TRITONIZE_MACHINE", "aarch64")
    made = hook.NativeBackendHook(checkout)
    assert made.dependencies() == [hook.ZIG]
    data: dict[str, Any] = {"force_include": {}}
    made.initialize("standard", data)
    made.finalize("standard", data, "")
    assert data["tag"] == "py3-none-manylinux_2_28_aarch64"
    assert commands[0][4:6] == ["-target", "aarch64-linux-gnu.2.28"]
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    assert hook.wheel_tag(hook.os.environ) == "py3-none-linux_aarch64"


def test_a_machine_of_that_processor_builds_for_itself(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.sysconfig, "get_platform", lambda: "linux-aarch64")
    assert hook.is_supported({})
    assert hook.wheel_tag({}) == "py3-none-manylinux_2_28_aarch64"


def test_an_unknown_processor_and_an_editable_installation_for_another_are_errors(
    hook: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONIZE_MACHINE", "riscv64")
    data: dict[str, Any] = {"force_include": {}}
    with pytest.raises(RuntimeError, match="TRITONIZE_MACHINE: expected x86_64 or aarch64, found 'riscv64'"):
        hook.NativeBackendHook(checkout).initialize("standard", data)
    monkeypatch.setenv("TRITONIZE_MACHINE", "aarch64")
    with pytest.raises(RuntimeError, match="Unset TRITONIZE_MACHINE"):
        hook.NativeBackendHook(checkout).initialize("editable", data)
